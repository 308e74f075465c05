"""Choosing an epoch on the test split is possible, and told wherever the scores are; subsets share their features."""

from pathlib import Path

import pytest

from ordinalclip.errors import ConfigError, DataError
from ordinalclip.evaluate import evaluate
from ordinalclip.execution.job import run_job
from ordinalclip.features import extraction
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.prepare import Job, prepare
from tests.conftest import Compose
from tests.datasets.published import AGES, make_morph

TINY = ("backbone=tiny", "trainer=cpu", "tracking=offline", "num_workers=0", "epochs=3", "lr=1e-2")
MORPH = (*TINY, "dataset=morph_lists")


@pytest.fixture
def morph(tmp_path: Path) -> str:
    make_morph(tmp_path / "MORPH")
    return f"dataset.root={tmp_path / 'MORPH'}"


def done(job: Job) -> Job:
    run_job(job, in_sweep=True)
    assert job.run.state() == "finished"
    return job


@pytest.mark.slow
def test_a_run_selected_on_test_is_stamped(
    compose_cfg: Compose, morph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = done(prepare(compose_cfg(*MORPH, morph, "protocol=on_test", small=False)))
    assert set(job.manifest.table["split"]) == {"train", "test"}
    assert job.run.status()["selected_on"] == "test"
    assert job.run.read_json("labels.json")["selected_on"] == "test"
    assert job.run.read_json("val_stats.json") is None
    watched = [line["values"]["val/mae"] for line in job.run.metrics() if "val/mae" in line["values"]]
    assert len(watched) == 3
    tested = job.run.read_json("test_stats.json")
    assert tested["test/mae"] == pytest.approx(min(watched), rel=1e-5)
    assert tested["test/num_images"] == 2 * len(AGES)

    paths = [f"paths.{key}={value}" for key, value in job.cfg["paths"].items()]
    scores = evaluate([f"run={job.run.directory}", "trainer=cpu", *paths])
    assert scores["test/mae"] == pytest.approx(tested["test/mae"], rel=1e-5)
    assert "selected on test" in capsys.readouterr().out
    (again,) = (job.run.directory / "evaluations").glob("morph_lists-test-*")
    assert '"selected_on": "test"' in (again / "stats.json").read_text()

    honest = done(prepare(compose_cfg(*MORPH, morph, small=False)))
    assert honest.run.run_id != job.run.run_id
    assert "selected_on" not in honest.run.status() | honest.run.read_json("labels.json")
    # Val is 15 % of the training images, no subject of which is in training.
    split = honest.manifest.table.groupby("split")["subject"].agg(set)
    assert not split["val"] & split["train"]
    assert honest.run.read_json("val_stats.json")["val/num_images"] == (honest.manifest.table["split"] == "val").sum()


@pytest.mark.slow
def test_the_val_list_of_the_paper_is_refused_where_it_is_not_asked_for(compose_cfg: Compose, morph: str) -> None:
    same = "dataset.val=data_list/ET_proto_val.txt"
    with pytest.raises(ConfigError, match="chosen on test"):
        prepare(compose_cfg(*MORPH, morph, same, small=False))
    with_list = prepare(compose_cfg(*MORPH, morph, same, "protocol=on_test", small=False))
    without = prepare(compose_cfg(*MORPH, morph, "protocol=on_test", small=False))
    assert with_list.run.run_id == without.run.run_id
    with pytest.raises(DataError, match="no image in the split val"):
        prepare(compose_cfg(*MORPH, morph, "protocol=given", small=False))


@pytest.mark.slow
def test_a_subset_enters_the_id_by_what_it_takes(compose_cfg: Compose) -> None:
    def run_id(*overrides: str) -> str:
        return prepare(compose_cfg(*overrides)).run.run_id

    assert run_id("subset.shots=1000") == run_id() == run_id("subset.seed=3")
    assert len({run_id(), run_id("subset.shots=2"), run_id("subset.shots=2", "subset.seed=1")}) == 3
    assert run_id("subset.shots=2") != run_id("subset.shift_ranks=2", "subset.shift_keep=0.2")


@pytest.mark.parametrize("override", ["subset.shots=0", "subset.shift_keep=1.5", "+subset.shot=1", "subset.seed=null"])
def test_subsets_are_checked(compose_cfg: Compose, override: str) -> None:
    with pytest.raises(ConfigError, match="subset"):
        check(compose_cfg(override))


@pytest.mark.slow
def test_subsets_extract_nothing_again(compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    done(prepare(compose_cfg("epochs=1")))

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("extracted again")

    monkeypatch.setattr(extraction, "extract", refuse)
    few = done(prepare(compose_cfg("epochs=1", "subset.shots=2", "subset.eval_min_rank=2")))
    assert few.manifest.table["split"].isna().sum() > 0
    assert few.run.read_json("test_stats.json")["test/num_images"] == 9
    # What is written beside the run is the subset, to read and to train on.
    again = ("dataset=manifest", f"dataset.path={few.run.directory / 'manifest.csv'}", "protocol=given")
    root = f"dataset.root={few.manifest.root}"
    common = ("backbone=tiny", "trainer=cpu", "tracking=offline")
    read = prepare(compose_cfg(*common, *again, root, small=False)).manifest
    assert len(read.table) == few.manifest.table["split"].notna().sum()
