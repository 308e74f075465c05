"""Every yaml of conf/optimizer does what an optimiser is for, takes our groups and comes back from a checkpoint."""

from pathlib import Path

import pytest
import torch
import yaml

from ordinalclip.config.compose import conf_dir
from ordinalclip.execution.job import run_job
from ordinalclip.optimizers.parameter_groups import build_optimizer, build_parameter_groups, build_scheduler
from ordinalclip.optimizers.schedules import Cosine
from ordinalclip.preparation.prepare import prepare
from ordinalclip.runs.run import find_runs
from ordinalclip.training.module import OrdinalModule
from tests.optimizers.test_parameter_groups import DEFAULT
from tests.test_model import build_model

NAMES = sorted(path.stem for path in (conf_dir() / "optimizer").glob("*.yaml"))


def read(name):
    text = (conf_dir() / "optimizer" / f"{name}.yaml").read_text().replace("5e-4", "5.0e-4").replace("1e-4", "1.0e-4")
    return yaml.safe_load(text)


def losses(model, optimizer, scheduler, num_steps, first=0):
    """Steps on a bowl whose sides differ tenfold; the learning rates fall."""
    values = []
    for _ in range(first, first + num_steps):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        loss = sum(((p - 1).square() * torch.linspace(0.05, 0.5, p.numel()).view_as(p)).sum() for p in parameters)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        values.append(loss.item())
    return values


def built(name, num_steps=60):
    torch.manual_seed(0)
    model = build_model()
    trainable = {part: 0.1 if value is not None else None for part, value in DEFAULT.items()}
    optimizer = build_optimizer(read(name), model, trainable)
    return model, optimizer, build_scheduler(optimizer, Cosine(), num_steps)


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_down_a_bowl(name):
    found = losses(*built(name), 60)
    assert found[-1] < 0.9 * found[0]


@pytest.mark.parametrize("name", NAMES)
def test_rates_and_decay_are_the_groups_own(name):
    model = build_model()
    wanted = build_parameter_groups(model, DEFAULT, read(name)["weight_decay"])
    optimizer = build_optimizer(read(name), model, DEFAULT)
    for group, own in zip(optimizer.param_groups, wanted, strict=True):
        assert {key: group[key] for key in ("name", "lr", "weight_decay")} == {
            key: own[key] for key in ("name", "lr", "weight_decay")
        }


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_continues_to_the_bit(name, tmp_path):
    whole = losses(*built(name), 33)
    model, optimizer, scheduler = built(name)
    assert losses(model, optimizer, scheduler, 17) == whole[:17]
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    torch.save(state, tmp_path / "last.ckpt")

    model, optimizer, scheduler = built(name)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    assert losses(model, optimizer, scheduler, 16) == whole[17:]


def interrupt(monkeypatch, epoch, batch):
    """Ends the next run in a step, once."""
    step = OrdinalModule.training_step

    def interrupted(self, item, batch_idx):
        if (self.current_epoch, batch_idx) == (epoch, batch):
            monkeypatch.undo()
            raise RuntimeError("killed")
        return step(self, item, batch_idx)

    monkeypatch.setattr(OrdinalModule, "training_step", interrupted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adaiw_lookahead", "ranger21"])
def test_an_interrupted_run_ends_as_a_whole_one(name, compose_cfg, tmp_path, monkeypatch):
    # Four epochs of three steps: the interruption falls between two pulls of lookahead, behind the first.
    cfg = compose_cfg(f"optimizer={name}", "epochs=4", "trainable.rank=0.05", "trainable.projection=0.05")
    run_job(prepare(cfg), in_sweep=True)
    cut = cfg | {"paths": cfg["paths"] | {"runs": str(tmp_path / "cut")}}
    interrupt(monkeypatch, 3, 1)
    with pytest.raises(RuntimeError, match="killed"):
        run_job(prepare(cut), in_sweep=True)
    run_job(prepare(cut), in_sweep=True)

    (whole,), (resumed,) = find_runs(Path(cfg["paths"]["runs"])), find_runs(tmp_path / "cut")
    assert resumed.status()["attempt"] == 2
    one, other = (torch.load(run.last_checkpoint, weights_only=True) for run in (whole, resumed))
    assert one["epoch"] == other["epoch"] == 3
    assert len({line["values"]["train/loss"] for line in whole.metrics() if "train/loss" in line["values"]}) == 4
    for key, tensor in one["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][key]), key
    assert whole.read_json("test_stats.json") == resumed.read_json("test_stats.json")
