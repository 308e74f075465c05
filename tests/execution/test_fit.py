"""What one fit does to the model and to the next fit in the same process."""

import gc
import multiprocessing
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ordinalclip.execution import fit
from ordinalclip.execution.fit import build_job_model
from ordinalclip.execution.job import run_job
from ordinalclip.model import OrdinalCLIP
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.runs.run import Run
from ordinalclip.training.module import OrdinalModule
from ordinalclip.training.split_data import SplitData
from tests.conftest import Compose


def run(compose_cfg: Compose, *overrides: str, runs: str = "runs") -> Run:
    cfg = compose_cfg(*overrides)
    cfg["paths"]["runs"] = str(Path(cfg["paths"]["runs"]).with_name(runs))
    job = prepare(cfg)
    run_job(job, in_sweep=True)
    return job.run


def values_by_epoch(run: Run) -> dict[int, dict[str, float]]:
    return {line["epoch"]: line["values"] for line in run.metrics()}


def same_results(one: Run, other: Run) -> None:
    assert values_by_epoch(one) == values_by_epoch(other)
    for name in ("best.ckpt", "last.ckpt"):
        states = [torch.load(r.directory / "ckpt" / name, weights_only=True)["state_dict"] for r in (one, other)]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    left, right = (pd.read_parquet(r.directory / "predictions.parquet") for r in (one, other))
    pd.testing.assert_frame_equal(left, right)


class TowerWithState(nn.Module):
    """An image tower whose eval mode can be seen: BatchNorm's statistics move, and dropout draws, in training only."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.norm, self.dropout, self.tower = nn.BatchNorm2d(3), nn.Dropout(0.5), tower

    def forward(self, images: Tensor) -> Tensor:
        return self.tower(self.dropout(self.norm(images)))


@pytest.fixture
def stateful_tower(monkeypatch: pytest.MonkeyPatch) -> list[OrdinalCLIP]:
    """Puts BatchNorm and Dropout before the image tower; the list gets the models that are built."""
    built: list[OrdinalCLIP] = []

    def build(job: Job) -> OrdinalCLIP:
        model = build_job_model(job)
        model.backbone.image = TowerWithState(model.backbone.image)
        built.append(model)
        return model

    monkeypatch.setattr(fit, "build_job_model", build)
    return built


def modes_while_training(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, bool]]:
    seen: list[dict[str, bool]] = []
    step = OrdinalModule.training_step

    def watched(self: OrdinalModule, batch: Any, batch_idx: int) -> Tensor:
        seen.append({name: part.training for name, part in self.model.named_modules()})
        return step(self, batch, batch_idx)

    monkeypatch.setattr(OrdinalModule, "training_step", watched)
    return seen


@pytest.mark.slow
def test_what_is_trained_is_in_training_mode_and_what_is_frozen_is_not(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = modes_while_training(monkeypatch)
    run(compose_cfg, "backbone.projection=linear")
    assert len(seen) == 3 * 3  # after validation, too
    for modes in seen:
        assert modes["prompt"]
        assert modes["backbone.projection"]
        assert not any(on for name, on in modes.items() if name.startswith(("backbone.image", "backbone.text")))


@pytest.mark.slow
def test_buffers_and_dropout_of_a_frozen_tower_do_not_move(
    compose_cfg: Compose, stateful_tower: list[OrdinalCLIP], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = modes_while_training(monkeypatch)
    run(compose_cfg, "augment=true", "prompt=linear")  # the tower is passed through, and frozen
    tower = stateful_tower[0].backbone.image
    assert isinstance(tower, TowerWithState)
    assert torch.equal(tower.norm.running_mean, torch.zeros(3))  # type: ignore[arg-type]
    assert tower.norm.num_batches_tracked == 0
    assert not any(modes["backbone.image.dropout"] for modes in seen)


@pytest.mark.slow
def test_buffers_of_a_trained_tower_move_and_are_in_its_checkpoint(
    compose_cfg: Compose, stateful_tower: list[OrdinalCLIP], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = modes_while_training(monkeypatch)
    done = run(compose_cfg, "trainable.image=1e-3", "prompt=linear", "epochs=2")
    assert all(modes["backbone.image.dropout"] for modes in seen)
    state = torch.load(done.last_checkpoint, weights_only=True)["state_dict"]
    assert state["model.backbone.image.norm.num_batches_tracked"] == 2 * 3
    assert not torch.equal(state["model.backbone.image.norm.running_mean"], torch.zeros(3))


@pytest.mark.slow
def test_checkpoints_hold_what_is_trained_and_load_with_weights_only(compose_cfg: Compose) -> None:
    done = run(compose_cfg, "prompt=rank", "backbone.projection=linear", "trainable.logit_scale=1e-4")
    for path in (done.best_checkpoint, done.last_checkpoint):
        names = set(torch.load(path, weights_only=True)["state_dict"])
        assert {".".join(name.split(".")[1:3]) for name in names if ".prompt." not in name} == {
            "backbone.projection",
            "backbone.logit_scale",
        }
        assert any(".prompt." in name for name in names)
    assert torch.load(done.last_checkpoint, weights_only=True)["epoch"] == 2
    assert "optimizer_states" not in torch.load(done.best_checkpoint, weights_only=True)


@pytest.mark.slow
def test_no_test_row_is_ever_fitted_on_or_selected_on(compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[int]] = {"training_step": set(), "validation_step": set()}
    for name, rows in seen.items():
        step = getattr(OrdinalModule, name)

        def watched(self: Any, batch: Any, batch_idx: int, step: Any = step, rows: set[int] = rows) -> Any:
            rows.update(batch.row.tolist())
            return step(self, batch, batch_idx)

        monkeypatch.setattr(OrdinalModule, name, watched)
    cfg = compose_cfg("prompt=linear")
    job = prepare(cfg)
    run_job(job, in_sweep=True)
    split = job.manifest.table["split"]
    assert seen["training_step"] == set(np.flatnonzero(split == "train"))
    assert seen["validation_step"] == set(np.flatnonzero(split == "val"))


@pytest.mark.slow
def test_test_labels_change_nothing_but_the_test(compose_cfg: Compose) -> None:
    """Shuffled labels of the test split: the same fit, to the bit."""
    honest = prepare(compose_cfg("prompt=linear"))
    table = honest.manifest.table.copy()
    test = table["split"] == "test"
    table.loc[test, "rank"] = table.loc[test, "rank"].to_numpy()[::-1]
    elsewhere = Run(honest.run.directory.parent / "shuffled" / honest.run.directory.name)
    shuffled = replace(honest, manifest=replace(honest.manifest, table=table), run=elsewhere)
    for job in (honest, shuffled):
        run_job(job, in_sweep=True)
    one, other = honest.run, shuffled.run
    assert one.read_json("val_stats.json") == other.read_json("val_stats.json")
    assert one.read_json("test_stats.json") != other.read_json("test_stats.json")
    states = [torch.load(r.best_checkpoint, weights_only=True)["state_dict"] for r in (one, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ce_kl", "ce"])
def test_images_and_their_cached_features_give_one_fit(compose_cfg: Compose, loss: str, monkeypatch: Any) -> None:
    options = ("prompt=rank", f"loss={loss}", "epochs=2", "backbone.projection=linear")
    cached = run(compose_cfg, *options, runs="cached")

    class Decoded(SplitData):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            assert self.features is not None
            self.features = None

    monkeypatch.setattr(fit, "SplitData", Decoded)
    decoded = run(compose_cfg, *options, runs="decoded")
    for one, other in zip(values_by_epoch(cached).values(), values_by_epoch(decoded).values(), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.slow
def test_a_run_in_a_sweep_is_the_run_alone(compose_cfg: Compose) -> None:
    """Runs before it in the process leave nothing behind: not in the towers they share, not in random numbers."""
    options = ("prompt=rank", "epochs=2", "backbone.projection=linear", "seed=7")
    alone = run(compose_cfg, *options, runs="alone")
    everything = [f"trainable.{part}=0.01" for part in ("image", "text", "logit_scale")]
    run(compose_cfg, *everything, "backbone.projection=linear", "epochs=1", "+trainer.limit_batches=1", runs="sweep")
    swept = run(compose_cfg, *options, runs="sweep")
    same_results(alone, swept)


@pytest.mark.slow
def test_a_finished_run_leaves_neither_its_model_nor_its_workers(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[weakref.ref[OrdinalCLIP]] = []

    def build(job: Job) -> OrdinalCLIP:
        model = build_job_model(job)
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(fit, "build_job_model", build)
    gc.disable()  # only what is done on purpose counts
    try:
        run(compose_cfg, "trainable.image=1e-3", "num_workers=1", "epochs=1", "prompt=linear")
    finally:
        gc.enable()
    assert models[0]() is None
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_fixed_prompts_are_tested_without_training(compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrdinalModule, "training_step", None)
    done = run(compose_cfg, "prompt=fixed")
    assert done.state() == "finished"
    assert not (done.directory / "ckpt").exists()
    features = load_file(done.directory / "rank_features.safetensors")
    assert torch.equal(features["rank_features"], features["before"])
    assert 0 <= done.read_json("test_stats.json")["test/accuracy"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["rank", "context"])
def test_a_learner_with_nothing_trainable_is_tested_as_it_stands(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch, prompt: str
) -> None:
    monkeypatch.setattr(OrdinalModule, "training_step", None)
    with monkeypatch.context() as watched:
        said: list[str] = []
        watched.setattr(fit.log, "info", lambda text, *args: said.append(text % args))
        done = run(compose_cfg, f"prompt={prompt}", "trainable={context: null, rank: null}")
    assert done.state() == "finished"
    assert any("nothing to train" in line for line in said)
    assert not (done.directory / "ckpt").exists()
    features = load_file(done.directory / "rank_features.safetensors")
    assert torch.equal(features["rank_features"], features["before"])
    assert "test/mae" in done.read_json("test_stats.json")


@pytest.mark.slow
def test_the_published_baseline_has_a_head_that_stays_as_it_was_drawn(compose_cfg: Compose) -> None:
    """`prompt=linear trainable.head=null`: the tower learns to fit random directions."""
    done = run(compose_cfg, "prompt=linear", "trainable.head=null", "trainable.image=1e-3", "epochs=2")
    features = load_file(done.directory / "rank_features.safetensors")
    assert torch.equal(features["rank_features"], features["before"])
    trained = torch.load(done.last_checkpoint, weights_only=True)["state_dict"]
    assert trained
    assert all(name.startswith("model.backbone.image") for name in trained)
    losses = [values["train/loss"] for epoch, values in values_by_epoch(done).items() if epoch < 2]
    assert losses[1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("option", ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=0.5", "trainer=debug"])
def test_ways_of_training_run_to_their_end(compose_cfg: Compose, option: str) -> None:
    done = run(compose_cfg, option, "epochs=1")
    assert done.state() == "finished"
    assert np.isfinite(done.read_json("test_stats.json")["test/mae"])


@pytest.mark.slow
def test_two_half_batches_step_like_a_whole_one(compose_cfg: Compose) -> None:
    """36 training images: 18 + 18 accumulated step like 36; half a pair at an epoch's end steps, too."""
    options = ("prompt=linear", "loss=ce", "epochs=2", "optimizer=sgd")
    whole = run(compose_cfg, *options, "batch_size=36")
    halves = run(compose_cfg, *options, "batch_size=18", "trainer.accumulate_grad_batches=2")
    for one, other in zip(values_by_epoch(whole).values(), values_by_epoch(halves).values(), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    thirds = run(compose_cfg, *options, "batch_size=12", "trainer.accumulate_grad_batches=2")
    assert torch.load(thirds.last_checkpoint, weights_only=True)["global_step"] == 2 * 2


@pytest.mark.slow
def test_the_recorded_rate_is_the_one_that_the_epoch_was_trained_with(compose_cfg: Compose) -> None:
    done = run(compose_cfg, "prompt=linear", "schedule=multistep", "schedule.milestones=[0.5]", "epochs=4", "lr=0.01")
    rates = [values["lr/head"] for epoch, values in values_by_epoch(done).items() if epoch < 4]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])


@pytest.mark.slow
def test_one_rate_a_part_is_recorded_its_largest(compose_cfg: Compose) -> None:
    rates = ["image_rates.new_layers=[proj]", "image_rates.new_factor=10", "image_rates.layer_decay=0.5"]
    done = run(compose_cfg, "epochs=2", "schedule=constant", "trainable.image=1e-3", *rates)
    recorded = {name: value for name, value in values_by_epoch(done)[0].items() if name.startswith("lr/")}
    assert recorded == {"lr/context": 1e-3, "lr/rank": 1e-3, "lr/image": 1e-2}
    groups = torch.load(done.last_checkpoint, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert {group["name"]: group["lr"] for group in groups if "no_decay" not in group["name"]} == {
        **{f"image/layer{layer}": 1e-3 * 0.5 ** (3 - layer) for layer in range(3)},
        "image/new": 1e-2,
    }


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_with_the_last_checkpoint_intact(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepare(compose_cfg("prompt=linear", "epochs=4"))
    step = OrdinalModule.training_step

    def broken(self: OrdinalModule, batch: Any, batch_idx: int) -> Tensor:
        loss = step(self, batch, batch_idx)
        if self.current_epoch == 2:
            self._sums["loss"] = self._sums["loss"] * float("nan")
            return loss * float("nan")
        return loss

    monkeypatch.setattr(OrdinalModule, "training_step", broken)
    with pytest.raises(FloatingPointError, match=r"(?s)epoch 2.*images: .*\.png.*head: parameters .*gradient_clip_val"):
        run_job(job, in_sweep=True)
    last = torch.load(job.run.last_checkpoint, weights_only=True)
    assert last["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values())
    assert job.run.state() == "failed"


@pytest.mark.slow
def test_weights_that_the_epochs_last_step_ruined_are_not_kept(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is looked at before a step; only the validation sees what the last step made of the weights."""
    job = prepare(compose_cfg("prompt=linear", "epochs=3"))
    start = OrdinalModule.on_validation_epoch_start

    def ruined(self: OrdinalModule) -> None:
        if self.current_epoch == 1:
            with torch.no_grad():
                for parameter in self.model.prompt.parameters():  # type: ignore[attr-defined]
                    parameter.fill_(float("nan"))
        start(self)

    monkeypatch.setattr(OrdinalModule, "on_validation_epoch_start", ruined)
    with pytest.raises(FloatingPointError, match=r"val/mae.*epoch 1"):
        run_job(job, in_sweep=True)
    last = torch.load(job.run.last_checkpoint, weights_only=True)
    assert last["epoch"] == 0
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values())
    assert list(values_by_epoch(job.run)) == [0]


@pytest.mark.slow
def test_towers_are_never_moved_in_inference_mode(compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU it would make inference tensors of what the runs of a sweep share; the next one could not train."""
    moves: list[bool] = []
    move = nn.Module.to

    def watched(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        moves.append(torch.is_inference_mode_enabled())
        return move(self, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "to", watched)
    run(compose_cfg, "prompt=linear", "epochs=1")
    assert moves
    assert not any(moves)
