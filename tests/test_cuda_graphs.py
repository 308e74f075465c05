import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ordinalclip.backbones.openclip_block import split_blocks
from ordinalclip.backbones.openclip_text import CausalText
from ordinalclip.cuda_graphs import GraphedRun, replay_text
from ordinalclip.shared_prefix import run_shared
from tests.backbones.makers import tiny_clip

LAST = torch.tensor([2, 0, 1, 2])


class OnePlace:
    """A capture as CUDA's: one place for inputs, read again by the backward pass, whoever wrote there last."""

    def __init__(self) -> None:
        self.captured = 0
        self.replayed = 0

    def __call__(self, function: Callable[..., Tensor], samples: tuple[Tensor, ...]) -> Any:
        self.captured += 1
        place = [sample.clone() for sample in samples]
        outer = self

        class Replay(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *given: Tensor) -> Tensor:
                outer.replayed += 1
                for kept, tensor in zip(place, given, strict=True):
                    kept.copy_(tensor)
                return function(*place)

            @staticmethod
            def backward(ctx: Any, *grad: Tensor) -> Any:
                with torch.enable_grad():
                    inputs = [kept.clone().requires_grad_(kept.is_floating_point()) for kept in place]
                    found = torch.autograd.grad(function(*inputs), inputs[:2], grad)
                return *found, None

        return Replay.apply


@pytest.fixture
def transformer() -> Any:
    return tiny_clip(layers=2).transformer.double().requires_grad_(False)


def inputs(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prefix, own = (torch.randn(*shape, 16, dtype=torch.float64, generator=generator) for shape in ((4,), (4, 3)))
    return prefix.requires_grad_(), own.requires_grad_()


def gradients(loss: Tensor, given: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, given)


def expected(transformer: Any, given: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    found = run_shared(split_blocks(transformer) or [], *given, LAST)
    return found.detach(), *gradients(found.square().sum(), given)


def replayed(run: GraphedRun, transformer: Any, given: tuple[Tensor, Tensor]) -> Tensor:
    return run(split_blocks(transformer) or [], list(transformer.parameters()), *given, LAST)


def test_one_capture_serves_all_steps(transformer: Any) -> None:
    capture = OnePlace()
    run = GraphedRun(capture, "cpu")
    for seed in range(3):
        given = inputs(seed)
        found = replayed(run, transformer, given)
        ours = found.detach(), *gradients(found.square().sum(), given)
        torch.testing.assert_close(ours, expected(transformer, given))
    assert (capture.captured, capture.replayed) == (1, 1 + 3)  # the first to see whether it is right


def test_what_is_still_to_be_differentiated_is_not_overwritten(transformer: Any) -> None:
    capture = OnePlace()
    run = GraphedRun(capture, "cpu")
    one, two = inputs(0), inputs(1)
    first, second = replayed(run, transformer, one), replayed(run, transformer, two)
    assert capture.replayed == 1 + 1
    for found, given in ((second, two), (first, one)):
        torch.testing.assert_close(gradients(found.square().sum(), given), expected(transformer, given)[1:])
    replayed(run, transformer, one)  # never differentiated, and gone
    replayed(run, transformer, two)
    assert capture.replayed == 1 + 3


@pytest.mark.parametrize("why", ["no gradient wanted", "trained tower", "no prefix", "chunks", "another device"])
def test_anything_else_is_run_as_it_is(transformer: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = OnePlace()
    run = GraphedRun(capture, "cuda" if why == "another device" else "cpu")
    prefix, own = inputs(0)
    if why == "trained tower":
        transformer.requires_grad_(True)
    if why == "chunks":
        monkeypatch.setattr("ordinalclip.cuda_graphs.fits_at_once", lambda own: False)
    given = (prefix[:0], own) if why == "no prefix" else (prefix, own)
    with torch.set_grad_enabled(why != "no gradient wanted"):
        found = replayed(run, transformer, given)
    assert capture.captured == 0
    torch.testing.assert_close(found, run_shared(split_blocks(transformer) or [], *given, LAST))


def test_weights_elsewhere_and_other_precisions_are_captured_anew(transformer: Any) -> None:
    capture = OnePlace()
    run = GraphedRun(capture, "cpu")
    given = inputs(0)
    replayed(run, transformer, given).sum().backward()
    transformer.resblocks[0].mlp.c_fc.weight.data = transformer.resblocks[0].mlp.c_fc.weight.data.clone() * 2
    found = replayed(run, transformer, given)
    torch.testing.assert_close(found.detach(), expected(transformer, given)[0])
    found.sum().backward()
    assert capture.captured == 2
    transformer.float()
    half = tuple(tensor.detach().float().requires_grad_() for tensor in given)
    replayed(run, transformer, (half[0], half[1])).sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        replayed(run, transformer, (half[0], half[1])).sum().backward()
    assert capture.captured == 4


class Wrong(OnePlace):
    """A capture whose replays give something else."""

    def __call__(self, function: Callable[..., Tensor], samples: tuple[Tensor, ...]) -> Any:
        return super().__call__(lambda *given: function(*given).roll(1, 0), samples)


class Fails(OnePlace):
    """A capture that the device refuses."""

    def __call__(self, function: Callable[..., Tensor], samples: tuple[Tensor, ...]) -> Any:
        self.captured += 1
        raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize("kind", [Wrong, Fails])
def test_a_graph_that_cannot_be_made_or_is_wrong_is_not_used(
    transformer: Any, kind: type[OnePlace], caplog: pytest.LogCaptureFixture
) -> None:
    capture = kind()
    run = GraphedRun(capture, "cpu")
    for seed in range(2):
        given = inputs(seed)
        found = replayed(run, transformer, given)
        torch.testing.assert_close(found.detach(), expected(transformer, given)[0])
        found.sum().backward()
    assert capture.captured == 1
    assert caplog.text.count("text_graph: ") == 1


def test_a_copy_has_graphs_of_its_own(transformer: Any) -> None:
    capture = OnePlace()
    run = GraphedRun(capture, "cpu")
    replayed(run, transformer, inputs(0)).sum().backward()
    replayed(copy.deepcopy(run), transformer, inputs(0)).sum().backward()
    assert capture.captured == 2


def test_towers_without_graphs_say_so(caplog: pytest.LogCaptureFixture) -> None:
    replay_text(object(), wanted=False)
    assert not caplog.text
    replay_text(object(), wanted=True)
    assert "text_graph=true: nothing comes of it" in caplog.text


def test_a_tower_replays_until_it_is_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    tower = CausalText(tiny_clip(), open_clip.SimpleTokenizer()).requires_grad_(False)
    embeddings = torch.randn(3, 6, 16, requires_grad=True)
    last = torch.tensor([5, 4, 5])
    plain = tower.encode_shared(embeddings, last, 2)
    capture = OnePlace()
    tower.replay(GraphedRun(capture, "cpu"))
    torch.testing.assert_close(tower.encode_shared(embeddings, last, 2), plain)
    assert capture.replayed == 2
    replay_text(tower, wanted=False)
    tower.encode_shared(embeddings, last, 2)
    assert capture.replayed == 2
