import copy

import pytest
import torch
from torch import nn

from ordinalclip.errors import ConfigError
from ordinalclip.training.loop import explain_nondeterminism, speed_up
from tests.compiler import needs_compiler


def test_what_torch_refuses_names_the_key() -> None:
    maps, places = nn.MaxPool2d(2, return_indices=True)(torch.randn(1, 1, 4, 4))
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(ConfigError, match="max_unpooling2d") as caught, explain_nondeterminism():
            nn.MaxUnpool2d(2)(maps, places)
    finally:
        torch.use_deterministic_algorithms(False)
    assert caught.value.key == "trainer.deterministic"
    assert "trainer.deterministic=false" in str(caught.value)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="out of memory"), explain_nondeterminism():
        raise RuntimeError("CUDA out of memory")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(4 * 12 * 12, 5))


def test_convolutions_are_channels_last_and_compute_the_same() -> None:
    plain, quick = network(), network()
    speed_up(quick, compiled=False)
    assert quick[0].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index, union-attr, operator]
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(quick(images), plain(images))
    quick(images).sum().backward()
    plain(images).sum().backward()
    torch.testing.assert_close(
        [parameter.grad for parameter in quick.parameters()], [parameter.grad for parameter in plain.parameters()]
    )


def test_a_transformers_patches_are_left_alone() -> None:
    tower = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten())
    speed_up(tower, compiled=False)
    assert tower[0].weight.is_contiguous()  # type: ignore[operator, union-attr]


@pytest.mark.slow
@needs_compiler
def test_a_compiled_tower_keeps_its_names_and_values() -> None:
    plain = network()
    quick = copy.deepcopy(plain)
    speed_up(quick, compiled=True)
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(quick(images), plain(images))
    assert quick.state_dict().keys() == plain.state_dict().keys()
