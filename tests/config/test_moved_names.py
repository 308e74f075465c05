"""Targets that have moved, and a record and an export of commit 4c4d081, before the rooms, that still open.

`records_of_4c4d081` was made by that commit:

    python -m ordinalclip.train backbone=tiny dataset=gauge dataset.num_ranks=5 dataset.images_per_rank=12 \
        dataset.size=32 trainer=cpu tracking=offline epochs=2 batch_size=16 num_workers=0 seed=7
    python -m ordinalclip.export run=8cf7511105 out=export
    python -m ordinalclip.predict run=export images=data/gauge/5-ranks-32px-seed0-v1 out=predictions.csv
"""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from ordinalclip import load
from ordinalclip.config.compose import compose_config
from ordinalclip.config.moved_names import _MOVED, current_name, current_names, first_name
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.preparation.reopen import load_run, open_record, recorded_cfg
from ordinalclip.report.page import chosen_options, write_page
from ordinalclip.runs.run import Run
from tests import ROOT
from tests.conftest import Compose

MADE = ROOT / "tests" / "records_of_4c4d081"
RUN_ID = "8cf7511105"
WORDS = ("dataset.num_ranks=5", "dataset.images_per_rank=12", "dataset.size=32", "epochs=2", "batch_size=16", "seed=7")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    name = f"gauge-tiny-rank-s7-{RUN_ID}"
    shutil.copytree(MADE / "records" / name, tmp_path / name)
    return Run(tmp_path / name)


@pytest.fixture
def job(compose_cfg: Compose) -> Job:
    """The same settings, composed today."""
    return prepare(compose_cfg(*WORDS))


def test_every_target_of_conf_can_be_imported_and_has_a_first_name() -> None:
    for file in (ROOT / "conf").rglob("*.yaml"):
        for line in file.read_text(encoding="utf-8").splitlines():
            key, _, target = line.strip().partition(": ")
            if key == "_target_" and target.startswith("ordinalclip."):
                module, _, name = target.rpartition(".")
                assert hasattr(importlib.import_module(module), name), file
                assert current_name(first_name(target)) == target, file


@pytest.mark.parametrize("moved", _MOVED)
def test_a_module_that_has_moved_is_not_there_any_more(moved: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(moved)


def test_names_are_mapped_wherever_they_lie() -> None:
    old = {"a": [{"_target_": "ordinalclip.schedules.Step"}], "_target_": "ordinalclip.datasets.clap2016.load_clap2016"}
    new = {
        "a": [{"_target_": "ordinalclip.optimizers.schedules.Step"}],
        "_target_": "ordinalclip.datasets.layouts.clap.load_clap2016",
    }
    assert current_names(old) == current_names(new) == new
    assert first_name(new["_target_"]) == old["_target_"]  # type: ignore[arg-type]
    assert first_name("somebody.elses.Loss") == current_name("somebody.elses.Loss") == "somebody.elses.Loss"


def test_the_run_id_is_that_of_then(job: Job, run: Run) -> None:
    recorded = run.read_json("identity.json")
    assert json.loads(json.dumps(job.identity)) == recorded
    assert job.run.run_id == RUN_ID


def test_options_of_ones_own_may_name_what_has_moved(compose_cfg: Compose) -> None:
    words = ("schedule._target_=ordinalclip.schedules.Cosine", "trainer._target_=ordinalclip.trainer.build_trainer")
    cfg = compose_cfg(*WORDS, *words, "dataset._target_=ordinalclip.datasets.gauge.load_gauge")
    assert cfg["dataset"]["_target_"] == "ordinalclip.datasets.drawn.gauge.load_gauge"
    assert prepare(cfg).run.run_id == RUN_ID


def test_the_record_opens(job: Job, run: Run) -> None:
    cfg = recorded_cfg(run)
    assert cfg["dataset"]["_target_"] == "ordinalclip.datasets.drawn.gauge.load_gauge"
    model = load_run(open_record(run, cfg | {"paths": job.cfg["paths"]}))
    assert model.rank_features().shape[0] == 5


def test_the_report_knows_the_options(run: Run) -> None:
    old: dict[str, Any] = yaml.safe_load((run.directory / "config.yaml").read_text(encoding="utf-8"))
    assert old["schedule"]["_target_"] == "ordinalclip.schedules.Cosine"
    assert chosen_options(current_names(old)) == chosen_options(recorded_cfg(run))
    assert chosen_options(recorded_cfg(run))["schedule"] == "cosine"
    assert "cosine" in write_page(run).read_text(encoding="utf-8")


def test_the_export_predicts_what_it_predicted(job: Job) -> None:
    expected = pd.read_csv(MADE / "predictions.csv").set_index("path")
    predictions = load(MADE / "export").predict([job.manifest.root / name for name in expected.index])
    assert [one.name for one in predictions] == [str(name) for name in expected["name"]]
    probs = np.stack([one.probs for one in predictions])
    np.testing.assert_allclose(probs, expected.filter(like="p_").to_numpy(), atol=1e-6)


@pytest.mark.slow
def test_the_readmes_run_keeps_its_id(tmp_path: Path, shared_data: Path) -> None:
    """All defaults, on the real photos and the real small weights; images are opened once, which takes seconds."""
    words = [f"paths.runs={tmp_path}", f"paths.data={shared_data / 'data'}", f"paths.cache={shared_data / 'cache'}"]
    assert prepare(compose_config(words)).run.run_id == "426889981b"
    assert "426889981b" in (ROOT / "README.md").read_text(encoding="utf-8")
