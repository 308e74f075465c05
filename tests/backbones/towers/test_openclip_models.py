"""QuickGELU by SiLU, against x · sigmoid(1.702 x) and its derivatives by hand."""

import copy

import pytest
import torch
from torch import Tensor, nn

from ordinalclip.backbones.towers.openclip_models import LeanQuickGELU, empty_model, replace_quick_gelu
from ordinalclip.bench.measure import kept_bytes
from ordinalclip.bench.naive import published_activation
from tests.backbones.makers import tiny_clip


def by_hand(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def test_values_and_slopes_are_those_of_the_formula() -> None:
    x = torch.linspace(-30, 30, 2001, dtype=torch.float64, requires_grad=True)
    found = LeanQuickGELU()(x)
    torch.testing.assert_close(found, by_hand(x), rtol=1e-12, atol=1e-12)
    (slope,) = torch.autograd.grad(found.sum(), x)
    sigmoid = 1 / (1 + torch.exp(-1.702 * x.detach()))
    torch.testing.assert_close(slope, sigmoid * (1 + 1.702 * x.detach() * (1 - sigmoid)), rtol=1e-12, atol=1e-12)


def test_first_and_second_derivatives() -> None:
    torch.manual_seed(0)
    x = (3 * torch.randn(2, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(LeanQuickGELU(), x)
    assert torch.autograd.gradgradcheck(LeanQuickGELU(), x)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 3e-7), (torch.float16, 2.5e-3), (torch.bfloat16, 1.6e-2)])
def test_rounding_is_that_of_the_precision(dtype: torch.dtype, error: float) -> None:
    x = torch.linspace(-8, 20, 4001).to(dtype)
    expected = by_hand(x.double())
    found = LeanQuickGELU()(x)
    assert found.dtype == dtype
    assert ((found.double() - expected).abs() <= error * expected.abs().clamp(min=0.05)).all()


def test_half_precision_reaches_as_far_as_the_product_does() -> None:
    x = torch.tensor([-6e4, -4e4, 4e4, 6e4], dtype=torch.float16, requires_grad=True)
    found = LeanQuickGELU()(x)
    assert found.tolist() == [0.0, 0.0, 40000.0, 60000.0]
    (slope,) = torch.autograd.grad(found.sum(dtype=torch.float32), x)
    assert slope.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_large_numbers_stay_finite_and_the_input_is_left_alone() -> None:
    x = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], requires_grad=True)
    before = x.detach().clone()
    found = LeanQuickGELU()(x)
    found.sum().backward()
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.0, 100.0, 1e4]))
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
    assert torch.equal(x.detach(), before)


def test_the_backward_pass_keeps_one_tensor_of_the_inputs_size() -> None:
    from open_clip.transformer import QuickGELU

    x = torch.randn(64, 32, requires_grad=True)
    assert kept_bytes(lambda: LeanQuickGELU()(x)) == x.nbytes
    assert kept_bytes(lambda: QuickGELU()(x)) == 2 * x.nbytes


@pytest.mark.slow
def test_open_clips_models_are_built_with_it() -> None:
    for only in ("image", "text"):
        clip = empty_model("ViT-B-32", quick_gelu=True, only=only)
        half = clip.visual if only == "image" else clip.transformer
        assert [type(module) for name, module in half.named_modules() if name.endswith(".gelu")] == [LeanQuickGELU] * 12
    assert not any(isinstance(module, LeanQuickGELU) for module in empty_model("RN50", quick_gelu=False).modules())


def test_every_quick_gelu_of_a_model_is_replaced_and_nothing_else() -> None:
    from open_clip.transformer import QuickGELU

    theirs = tiny_clip(quick_gelu=True).eval()
    ours = copy.deepcopy(theirs)
    replace_quick_gelu(ours)
    before = {name: type(module) for name, module in theirs.named_modules()}
    after = {name: type(module) for name, module in ours.named_modules()}
    assert after == {name: LeanQuickGELU if kind is QuickGELU else kind for name, kind in before.items()}
    assert LeanQuickGELU in after.values()
    assert not any(module.training for module in ours.modules())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    other = tiny_clip(quick_gelu=False)
    replace_quick_gelu(other)
    assert not any(isinstance(module, LeanQuickGELU) for module in other.modules())


def test_the_naive_mode_computes_the_published_product_and_puts_ours_back() -> None:
    from open_clip.transformer import QuickGELU

    model = nn.Sequential(nn.Linear(2, 2), LeanQuickGELU())
    kept = model[1]
    with published_activation(model):
        assert type(model[1]) is QuickGELU
    assert model[1] is kept
    with pytest.raises(KeyError), published_activation(model):
        raise KeyError
    assert model[1] is kept
