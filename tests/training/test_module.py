"""Numbers that are too large or none at all: what is told of them, and which do not occur."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from ordinalclip.config.schema import PARTS
from ordinalclip.losses.ce import CrossEntropy
from ordinalclip.losses.ce_kl import CrossEntropyKL
from ordinalclip.metrics.collection import RankMetrics
from ordinalclip.model import OrdinalCLIP
from ordinalclip.optimizers.parameter_groups import build_scheduler, freeze
from ordinalclip.optimizers.schedules import Constant
from ordinalclip.prompts.linear import LinearPrompt
from ordinalclip.training.batches import Batch, EpochSampler
from ordinalclip.training.loop import build_trainer
from ordinalclip.training.module import OrdinalModule, Step, check_names, non_finite_message
from tests.fakes import FakeBackbone

RANKS = 4


def build(**rates: float) -> OrdinalModule:
    torch.manual_seed(0)
    backbone = FakeBackbone()
    prompt = LinearPrompt(text=backbone.text, embed_dim=6, rank_names=[str(rank) for rank in range(RANKS)])
    model = OrdinalCLIP(backbone, prompt)  # type: ignore[arg-type]
    freeze(model, dict.fromkeys(PARTS) | rates)

    def build_optimizer() -> Optimizer:
        return SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.1)

    return OrdinalModule(
        model,
        loss=CrossEntropy(),
        build_optimizer=build_optimizer,
        build_scheduler=lambda optimizer: build_scheduler(optimizer, Constant(), 2),
        metrics=RankMetrics(RANKS, list(range(RANKS))),
        sampler=EpochSampler(8, 4, seed=0),
        seed=0,
    )


def batch(size: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, 8, 8, generator=generator)
    return Batch(torch.arange(size) % RANKS, torch.arange(size), images=images)


def test_only_what_is_trained_is_saved() -> None:
    module = build(head=0.1)
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    assert all(name.startswith("model.prompt.") for name in checkpoint["state_dict"])
    assert len(checkpoint["state_dict"]) > 0


def test_statistics_are_saved_where_their_module_is_trained() -> None:
    assert "model.backbone.image.1.running_mean" in build(image=0.1).trained_names()
    assert "model.backbone.image.1.running_mean" not in build(head=0.1).trained_names()


def test_loading_touches_nothing_but_what_is_trained() -> None:
    module = build(head=0.1)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.load_state_dict({name: torch.ones_like(before[name]) for name in module.trained_names()})
    for name, tensor in module.state_dict().items():
        expected = torch.ones_like(tensor) if name in module.trained_names() else before[name]
        assert torch.equal(tensor, expected), name


def test_a_checkpoint_of_another_model_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"missing \['b'\], surplus \['c'\]"):
        check_names({"a": torch.zeros(1), "c": torch.zeros(1)}, {"a", "b"})
    with pytest.raises(ValueError, match="surplus"):
        build(head=0.1).load_state_dict(build(head=0.1, projection=0.1).state_dict())


def test_the_recorded_loss_is_the_mean_over_images_not_batches() -> None:
    module = build(head=0.1)
    module.on_train_epoch_start()
    batches = [batch(6, seed=0), batch(2, seed=1)]
    losses = [float(module.training_step(one, index).detach()) for index, one in enumerate(batches)]
    module.on_validation_epoch_start()
    module.validation_step(batch(5), 0)
    module.on_validation_epoch_end()
    assert module.epoch_values["train/loss"] == pytest.approx((6 * losses[0] + 2 * losses[1]) / 8)
    assert {"val/mae", "val/qwk", "val/accuracy"} <= set(module.epoch_values)


def test_rank_features_are_computed_once_for_a_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    module = build(head=0.1).eval()
    calls = []
    compute = module.model.rank_features

    def counted() -> Tensor:
        calls.append(1)
        return compute()

    monkeypatch.setattr(module.model, "rank_features", counted)
    module.on_validation_epoch_start()
    for index in range(3):
        module.validation_step(batch(4), index)
    assert len(calls) == 1


@pytest.mark.parametrize("rates", [{"head": 0.1, "projection": 0.1}, {"projection": 0.1}], ids=["trained", "constant"])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_rank_features_are_computed_once_for_a_step_with_the_gradients_of_all_its_batches(
    accumulate: int, rates: dict[str, float], tmp_path: Path
) -> None:
    ours, calls = build(**rates), []
    compute = ours.model.rank_features
    ours.model.rank_features = lambda: calls.append(1) or compute()  # type: ignore[method-assign, func-returns-value]
    batches = [batch(size, seed) for seed, size in enumerate((4, 4, 4, 3))]
    trainer = build_trainer(
        accelerator="cpu", accumulate_grad_batches=accumulate, run_directory=tmp_path, max_epochs=1, callbacks=[]
    )
    trainer.fit(ours, DataLoader(batches, batch_size=None), DataLoader([batch(4)], batch_size=None))
    steps = -(-len(batches) // accumulate)
    assert len(calls) == (steps if "head" in rates else 1) + 1  # and once for the validation

    # The same steps written out: every batch with rank features of its own.
    slow = build(**rates)
    start = [parameter.detach().clone() for parameter in slow.model.parameters()]
    optimizer = slow.build_optimizer()
    for first in range(0, len(batches), accumulate):
        optimizer.zero_grad()
        for one in batches[first : first + accumulate]:
            (slow.loss(slow.model(images=one.images), one.rank)["loss"] / accumulate).backward()
        optimizer.step()
    for (name, mine), theirs in zip(ours.model.named_parameters(), slow.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7, msg=name)
    assert any(not torch.equal(old, new) for old, new in zip(start, ours.model.parameters(), strict=True))


def test_random_numbers_start_anew_in_every_epoch_and_only_there() -> None:
    module = build(head=0.1)
    drawn = []
    for batch_idx in (0, 1, 0, 1):
        module.on_train_batch_start(batch(2), batch_idx)
        drawn.append(float(torch.rand(())))
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_a_loss_that_is_no_number_stops_before_the_step() -> None:
    module = build(head=0.1)
    module.on_train_epoch_start()
    module.training_step(batch(5), 0)
    module._sums["loss"] = torch.tensor(float("inf"))
    with pytest.raises(FloatingPointError, match=r"(?s)epoch 0, step 0.*row 0.*gradient_clip_val"):
        module.on_before_optimizer_step(SGD(module.parameters(), lr=0.1))


def test_a_resumed_fit_goes_on_with_the_next_order() -> None:
    module = build(head=0.1)
    module.on_load_checkpoint({"epoch": 6})
    assert module.sampler.epoch == 7


def test_frozen_parts_stay_in_eval_mode_whatever_is_said() -> None:
    module = build(head=0.1, projection=0.1)
    module.train()
    backbone = module.model.backbone
    assert not any(part.training for tower in (backbone.image, module.model._text_module) for part in tower.modules())
    assert backbone.projection.training
    assert isinstance(module.model.prompt, nn.Module)
    assert module.model.prompt.training


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
    told = non_finite_message([step([8, 7], 1.0), step([6, 0, 3, 2, 1, 5], math.inf)], ours, PATHS, "epoch 4, step 9")
    norm = math.sqrt(sum(float(value) ** 2 for value in head.detach().flatten()))
    assert told.splitlines()[:3] == [
        "the loss became inf in epoch 4, step 9, which is not kept",
        "  images: 6.png, 0.png, 3.png, 2.png, 1.png and 1 more (6 of the batch)",
        f"  head: parameters {norm:.4g}, gradient {2 * math.sqrt(head.numel()):.4g}",
    ]
    assert len(told.splitlines()) == 4


def test_images_that_ruin_a_batch_are_told_from_the_others() -> None:
    told = non_finite_message([step([4, 5, 2], math.nan, ruined=1)], model(), PATHS, "epoch 0, step 0")
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
