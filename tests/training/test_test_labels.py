"""Nothing that fits a run gets at test labels."""

from dataclasses import replace

import numpy as np
import pytest

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.execution import fit as fitting
from ordinalclip.execution.job import run_job
from ordinalclip.model import OrdinalCLIP
from ordinalclip.preparation.build import assemble
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.training.batches import evaluation_loader
from ordinalclip.training.split_data import Seal, SplitData, TestTouched
from tests.conftest import Compose
from tests.datasets.made import make_manifest


@pytest.fixture
def manifest() -> Manifest:
    made = make_manifest([0, 1, 2, 3], split=["train", "val", "test", "test"])
    return replace(made, table=made.table.assign(raw=list("abcd"), labels=list("0123"), sex=list("mfmf")))


def test_touching_raises_until_it_is_opened(manifest: Manifest) -> None:
    seal = Seal(manifest, closed=True)
    assert seal.ranks(np.array([0, 1])).tolist() == [0, 1]
    for rows in ([2], [0, 3], [0, 1, 2, 3]):
        with pytest.raises(TestTouched, match="test images were asked for"):
            seal.ranks(np.array(rows))
    table = seal.manifest.table
    assert table["rank"].tolist() == [0, 1, -1, -1]
    for column in ("value", "raw", "labels", "sex"):
        assert table[column].isna().tolist() == [False, False, True, True]
    assert list(table["path"]) == list(manifest.table["path"])
    assert seal.open() is manifest
    assert seal.ranks(np.array([2, 3])).tolist() == [2, 3]


def test_selecting_on_test_is_exempt(manifest: Manifest) -> None:
    seal = Seal(manifest, closed=False)
    assert seal.manifest is manifest
    assert seal.ranks(np.array([3])).tolist() == [3]


@pytest.mark.parametrize("image", [None, 1e-5])
def test_loaders_of_the_test_split_raise(compose_cfg: Compose, image: float | None) -> None:
    job = prepare(compose_cfg(f"trainable.image={'null' if image is None else image}"))
    data = SplitData(job, _model(job).backbone, Seal(job.manifest, closed=True))
    evaluation_loader(data.split("val"), 4, 0)
    for split in ("test", "all"):
        with pytest.raises(TestTouched):
            data.split(split)
    data.seal.open()
    assert len(data.split("test")) == (job.manifest.table["split"] == "test").sum()


@pytest.mark.slow
def test_a_fit_does_not_touch(compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong test labels change nothing before the final test; a fit that asks for them ends."""
    job = prepare(compose_cfg("seed=5"))
    run_job(job, in_sweep=True)
    honest = [line["values"] for line in job.run.metrics()]
    rank = job.manifest.table["rank"]
    wrong = job.manifest.table.assign(rank=rank.where(job.manifest.table["split"] != "test", 4 - rank))
    other = replace(job, manifest=replace(job.manifest, table=wrong))
    other.run.archive()
    run_job(other, in_sweep=True)
    changed = [line["values"] for line in other.run.metrics()]
    epochs = slice(0, job.cfg["epochs"])
    assert changed[epochs] == honest[epochs]
    assert changed[-1]["test/mae"] != honest[-1]["test/mae"]
    other.run.archive()

    train = fitting._train

    def curious(job: Job, model: OrdinalCLIP, data: SplitData, *rest: object) -> object:
        assert (job.manifest.table["rank"][job.manifest.table["split"] == "test"] == -1).all()
        data.split("test")
        return train(job, model, data, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "_train", curious)
    with pytest.raises(TestTouched):
        run_job(job, in_sweep=True)
    assert job.run.state() == "failed"


def _model(job: Job) -> OrdinalCLIP:
    return assemble(job.cfg, job.weights, job.manifest.rank_names)
