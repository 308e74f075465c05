"""Which splits a run that sees images keeps decoded."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ordinalclip.backbones.load import load_backbone
from ordinalclip.config.identity import identity
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError
from ordinalclip.execution import fit as fitting
from ordinalclip.execution.job import run_job
from ordinalclip.images import preprocessing as image_geometry
from ordinalclip.losses.ce import CrossEntropy
from ordinalclip.model import OrdinalCLIP, Output
from ordinalclip.preparation.build import build_model
from ordinalclip.preparation.checks import check, check_label_draw
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.training.batches import evaluation_loader
from ordinalclip.training.split_data import LabelDraw, SealedTestLabels, SplitData, TestLabelsRead
from tests.conftest import Compose
from tests.datasets.made import make_manifest


@pytest.mark.parametrize(("select_on", "kept"), [("val", {"train", "val"}), ("test", {"train", "test"})])
def test_what_is_seen_every_epoch_is_decoded_once_and_nothing_else_is_stored(
    compose_cfg: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select_on: str, kept: set[str]
) -> None:
    words = ("trainable.image=1e-3", f"protocol.select_on={select_on}", f"paths.cache={tmp_path}")
    job = prepare(compose_cfg(*words))
    data = SplitData(job, load_backbone(job.cfg["backbone"], cache_dir=tmp_path, weights=job.weights))
    assert not data.how.gpu  # trainer=cpu: where features are computed, too
    decoded: Counter[Path] = Counter()
    open_rgb = image_geometry.open_rgb

    def counted(path: Path) -> object:
        decoded[path] += 1
        return open_rgb(path)

    monkeypatch.setattr(image_geometry, "open_rgb", counted)
    epochs = 3
    for split in ("train", "val", "test"):
        for _ in range(epochs):
            rows = data.split(split)
            rows.__getitems__([(0, position) for position in range(len(rows))])
    paths, splits = job.manifest.files(), job.manifest.table["split"].to_numpy()
    times = {name: {decoded[paths[row]] for row in np.flatnonzero(splits == name)} for name in ("train", "val", "test")}
    assert times == {name: {1 if name in kept else epochs} for name in times}


@pytest.fixture
def manifest() -> Manifest:
    made = make_manifest([0, 1, 2, 3], split=["train", "val", "test", "test"])
    return replace(made, table=made.table.assign(raw=list("abcd"), labels=list("0123"), sex=list("mfmf")))


def test_touching_raises_until_it_is_opened(manifest: Manifest) -> None:
    seal = SealedTestLabels(manifest, closed=True)
    assert seal.ranks(np.array([0, 1])).tolist() == [0, 1]
    for rows in ([2], [0, 3], [0, 1, 2, 3]):
        with pytest.raises(TestLabelsRead, match="test images were asked for"):
            seal.ranks(np.array(rows))
    table = seal.manifest.table
    assert table["rank"].tolist() == [0, 1, -1, -1]
    for column in ("value", "raw", "labels", "sex"):
        assert table[column].isna().tolist() == [False, False, True, True]
    assert list(table["path"]) == list(manifest.table["path"])
    assert seal.open() is manifest
    assert seal.ranks(np.array([2, 3])).tolist() == [2, 3]


def test_selecting_on_test_is_exempt(manifest: Manifest) -> None:
    seal = SealedTestLabels(manifest, closed=False)
    assert seal.manifest is manifest
    assert seal.ranks(np.array([3])).tolist() == [3]


@pytest.mark.parametrize("image", [None, 1e-5])
def test_loaders_of_the_test_split_raise(compose_cfg: Compose, image: float | None) -> None:
    job = prepare(compose_cfg(f"trainable.image={'null' if image is None else image}"))
    data = SplitData(job, _model(job).backbone, SealedTestLabels(job.manifest, closed=True))
    evaluation_loader(data.split("val"), 4, 0)
    for split in ("test", "all"):
        with pytest.raises(TestLabelsRead):
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
    with pytest.raises(TestLabelsRead):
        run_job(job, in_sweep=True)
    assert job.run.state() == "failed"


def _model(job: Job) -> OrdinalCLIP:
    return build_model(job.cfg, job.weights, job.manifest.rank_names)


LABELS = ["1 1 3", "2", "0 4", "9 9 9"]


@pytest.fixture
def annotated() -> Manifest:
    manifest = make_manifest([1, 2, 4, 0], num_ranks=5, split=["train", "train", "train", "test"])
    manifest.table["labels"] = LABELS
    return manifest


def test_one_of_the_labels_is_drawn_anew_in_each_epoch(annotated: Manifest) -> None:
    draw = LabelDraw(annotated, "random", seed=3)
    rows = torch.tensor([2, 0, 1, 0])
    drawn = [draw(rows, epoch).tolist() for epoch in range(900)]
    assert {ranks[2] for ranks in drawn} == {2}
    assert all(ranks[1] == ranks[3] for ranks in drawn)  # a row has one label in an epoch
    counts = Counter(ranks[1] for ranks in drawn)
    assert set(counts) == {1, 3}
    assert counts[1] / 900 == pytest.approx(2 / 3, abs=0.05)
    assert Counter(ranks[0] for ranks in drawn)[4] / 900 == pytest.approx(1 / 2, abs=0.05)
    again = LabelDraw(annotated, "random", seed=3)  # a resume, and other batches
    assert again(torch.tensor([0]), 17).item() == drawn[17][1]
    other = LabelDraw(annotated, "random", seed=4)
    assert [other(rows, epoch).tolist() for epoch in range(20)] != drawn[:20]


def test_shares_of_the_annotators(annotated: Manifest) -> None:
    shares = LabelDraw(annotated, "distribution", seed=0)(torch.tensor([0, 2, 1]), epoch=0)
    expected = [[0, 2 / 3, 0, 1 / 3, 0], [1 / 2, 0, 0, 0, 1 / 2], [0, 0, 1, 0, 0]]
    torch.testing.assert_close(shares, torch.tensor(expected))
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    output = Output(logits, torch.empty(0), torch.empty(0), torch.tensor(1.0))
    by_hand = np.mean(
        [-(F.log_softmax(row, -1) * share).sum().item() for row, share in zip(logits, shares, strict=True)]
    )
    assert CrossEntropy()(output, shares)["loss"].item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.slow
def test_it_is_refused_where_it_cannot_be(compose_cfg: Compose) -> None:
    with pytest.raises(ConfigError, match="takes one rank an image"):
        check_label_draw({"label_draw": "distribution", "loss": {"_target_": "theirs.Loss"}})
    for loss in ("ce", "ce_kl"):
        check(compose_cfg("label_draw=distribution", f"loss={loss}"))
    with pytest.raises(ConfigError, match="one label an image"):
        prepare(compose_cfg("label_draw=random"))


def test_it_enters_the_id_unless_it_is_the_median(compose_cfg: Compose) -> None:
    plain, drawn = (
        identity(compose_cfg(f"label_draw={how}"), manifest_hash="", weights={}) for how in ("median", "random")
    )
    assert "label_draw" not in plain
    assert drawn["label_draw"] == "random"
