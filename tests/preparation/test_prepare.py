"""A run on a subset lists what the subset changed, and tells the error of ranks that it never saw."""

import json
import logging
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf

from ordinalclip.datasets import leakage as near_duplicates
from ordinalclip.errors import ConfigError
from ordinalclip.execution.job import run_job
from ordinalclip.preparation import prepare as first_record
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.prepare import begin_record, plan, prepare
from tests.conftest import Compose

FOUND = {"known": 15, "shared": 3, "test_rate": 0.2, "threshold": 4, "examples": [["a.png", "b.png", 1]]}


def test_near_duplicates_are_in_every_runs_record_and_told_once_a_process(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_record, "near_duplicates", lambda *_: dict(FOUND))
    monkeypatch.setattr(first_record, "_LOGGED_NOTES", set())
    terminal, told = logging.getLogger("ordinalclip"), []
    listener = logging.Handler()
    listener.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    monkeypatch.setattr(terminal, "handlers", [listener])
    monkeypatch.setattr(terminal, "level", logging.INFO)
    monkeypatch.setattr(terminal, "_cache", {})  # of what other tests' levels let through
    for seed in (0, 1):
        cfg = compose_cfg("prompt=linear", f"seed={seed}")
        job = prepare(cfg | {"dataset": cfg["dataset"] | {"photos": True}})
        own: list[str] = []
        run_log = logging.Handler()
        run_log.emit = lambda record, own=own: own.append(record.getMessage())  # type: ignore[method-assign,misc]
        job.run.claim()
        begin_record(job, run_log)
        job.run.release("failed")
        report = json.loads((job.run.directory / "leakage.json").read_text())
        assert report["near_duplicates"] == FOUND
        assert sum("nearly equal" in line for line in own) == seed  # the first one's come with what the terminal gets
    line = "3 test images (20.0%) look nearly equal to one of another split, such as a.png and b.png; see leakage.json"
    assert told.count(line) == 1


def test_where_there_are_too_many_pairs_it_is_told(compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MAX_PAIRS", 100)
    cfg = compose_cfg("prompt=linear")
    job = prepare(cfg | {"dataset": cfg["dataset"] | {"photos": True}})
    report, notes = first_record._leakage(job)
    assert report["near_duplicates"]["known"] == 0
    assert len(notes) == 1
    assert notes[0].startswith("near duplicates were not looked for")


@pytest.mark.slow
def test_where_the_images_lie_is_known_from_wherever_the_record_is_read(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = compose_cfg("prompt=linear")
    data = Path(cfg["paths"]["data"])
    data.mkdir(exist_ok=True)
    monkeypatch.chdir(data.parent)
    job = prepare(cfg | {"paths": cfg["paths"] | {"data": data.name}})
    job.run.claim()
    begin_record(job, logging.NullHandler())
    job.run.release("failed")
    root = Path(json.loads((job.run.directory / "provenance.json").read_text())["root"])
    assert root.is_absolute()
    assert root.is_relative_to(data)


@pytest.mark.parametrize("photos", [False, True])
def test_nothing_is_told_of_sets_without_near_duplicates_or_that_are_not_photos(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch, photos: bool
) -> None:
    monkeypatch.setattr(
        first_record,
        "near_duplicates",
        lambda *_: FOUND | {"shared": 0} if photos else pytest.fail("looked at all the same"),
    )
    cfg = compose_cfg("prompt=linear")
    job = prepare(cfg | {"dataset": cfg["dataset"] | {"photos": photos}})
    report, notes = first_record._leakage(job)
    assert notes == []
    assert ("near_duplicates" in report) == photos


@pytest.mark.slow
def test_unseen_ranks_are_recorded_and_scored(compose_cfg: Compose) -> None:
    job = prepare(compose_cfg("subset.hide_every=3", "epochs=1"))
    run_job(job, in_sweep=True)
    listed = pd.read_parquet(job.run.directory / "subset.parquet")
    assert set(listed["rank"]) == {2}
    assert set(listed["split_before_subset"]) == {"train", "val"}
    stats = job.run.read_json("test_stats.json")
    shown = pd.read_parquet(job.run.directory / "predictions.parquet")
    error = (shown["expectation"] - shown["rank"]).abs()
    assert stats["test/mae_unseen"] == pytest.approx(error[shown["rank"] == 2].mean(), rel=1e-5)
    assert stats["test/mae_seen"] == pytest.approx(error[shown["rank"] != 2].mean(), rel=1e-5)
    assert job.run.read_json("leakage.json")["duplicates"]["shared"] == 0
    assert [line["values"]["leakage/duplicates"] for line in job.run.metrics() if "test/mae" in line["values"]] == [0.0]


@pytest.mark.slow
def test_records_of_before_the_newer_options_are_still_good(compose_cfg: Compose) -> None:
    cfg = compose_cfg()
    old = ("shots", "shift_ranks", "shift_keep", "eval_min_rank", "seed")
    cfg["subset"] = {key: cfg["subset"][key] for key in old}
    cfg["protocol"] = {key: cfg["protocol"][key] for key in ("split", "readout", "select_on")}
    check(cfg, known={"num_ranks": 5})
    assert prepare(cfg).run.run_id == prepare(compose_cfg()).run.run_id


@pytest.mark.parametrize(("num_ranks", "num_base_ranks"), [(2, 2), (3, 3), (5, 3)])
def test_default_base_ranks_follow_few_ranks(compose_cfg: Compose, num_ranks: int, num_base_ranks: int) -> None:
    cfg = compose_cfg("dataset=gauge", f"dataset.num_ranks={num_ranks}", small=False)
    assert prepare(cfg).cfg["prompt"]["num_base_ranks"] == num_base_ranks


def test_a_typed_number_of_base_ranks_is_refused_and_a_sweep_names_the_job(compose_cfg: Compose) -> None:
    def compose(words: list[str]) -> DictConfig:
        return OmegaConf.create(compose_cfg(*words, small=False))

    data = ["dataset=gauge", "dataset.num_ranks=2"]
    with pytest.raises(ConfigError, match="num_base_ranks=3") as caught:
        plan(compose, [[*data, f"prompt.num_base_ranks={number}"] for number in (2, 3)])
    assert caught.value.__notes__ == ["one of 2 runs: prompt.num_base_ranks=3; nothing was started"]
