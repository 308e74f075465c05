"""Numbers that are too large or none at all: what is told of them, and which do not occur."""

import math

import pytest
import torch
from torch.nn import functional as F

from ordinalclip.losses.ce_kl import CrossEntropyKL
from ordinalclip.model import OrdinalCLIP
from ordinalclip.prompts.linear import LinearPrompt
from ordinalclip.training.module import Step, failure
from tests.fakes import FakeBackbone

PATHS = [f"{row}.png" for row in range(9)]


def model() -> OrdinalCLIP:
    torch.manual_seed(0)
    backbone = FakeBackbone()
    prompt = LinearPrompt(text=backbone.text, embed_dim=6, rank_names=["a", "b", "c"])
    return OrdinalCLIP(backbone, prompt)  # type: ignore[arg-type]


def step(rows: list[int], loss: float, ruined: int | None = None) -> Step:
    logits = torch.zeros(len(rows), 3)
    if ruined is not None:
        logits[ruined, 1] = float("nan")
    return Step(torch.tensor(rows), logits, torch.tensor(loss))


def test_the_message_names_the_batch_its_images_and_the_norms_of_what_is_trained() -> None:
    ours = model().requires_grad_(False)
    head = next(ours.prompt.parameters()).requires_grad_()  # type: ignore[attr-defined]
    head.grad = torch.full_like(head, 2.0)
    told = failure([step([8, 7], 1.0), step([6, 0, 3, 2, 1, 5], math.inf)], ours, PATHS, "epoch 4, step 9")
    norm = math.sqrt(sum(float(value) ** 2 for value in head.detach().flatten()))
    assert told.splitlines()[:3] == [
        "the loss became inf in epoch 4, step 9, which is not kept",
        "  images: 6.png, 0.png, 3.png, 2.png, 1.png and 1 more (6 of the batch)",
        f"  head: parameters {norm:.4g}, gradient {2 * math.sqrt(head.numel()):.4g}",
    ]
    assert len(told.splitlines()) == 4


def test_images_that_ruin_a_batch_are_told_from_the_others() -> None:
    told = failure([step([4, 5, 2], math.nan, ruined=1)], model(), PATHS, "epoch 0, step 0")
    assert "  images: 5.png (1 with logits that are not finite)" in told.splitlines()


@pytest.mark.parametrize(
    ("precision", "scale"),
    [(torch.bfloat16, 1e2), (torch.bfloat16, 1e6), (torch.float16, 1e2), (torch.float16, 2e4)],
)
def test_a_growing_logit_scale_stays_finite_in_mixed_precision(precision: torch.dtype, scale: float) -> None:
    ours, loss = model(), CrossEntropyKL()
    with torch.no_grad():
        ours.backbone.logit_scale.fill_(math.log(scale))
    images, rank = torch.randn(7, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    with torch.autocast("cpu", dtype=precision):
        output = ours(images=images)
        terms = loss(output, rank)
    assert output.logits.dtype == terms["loss"].dtype == torch.float32
    assert output.logits.abs().max() > 0.1 * scale  # float16 ends at 65,504
    terms["loss"].backward()
    assert terms["loss"].isfinite()
    assert all(p.grad.isfinite().all() for p in ours.parameters() if p.grad is not None)

    # The same from what it has of images and ranks, in float64.
    logits = scale * output.image_features.double() @ output.rank_features.double().T
    torch.testing.assert_close(output.logits.double(), logits, rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(terms["ce"].double(), F.cross_entropy(logits, rank), rtol=1e-4, atol=1e-5 * scale)
