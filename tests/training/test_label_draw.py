from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ordinalclip.config.identity import identity
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError
from ordinalclip.losses.ce import CrossEntropy
from ordinalclip.model import Output
from ordinalclip.preparation.checks import check, check_label_draw
from ordinalclip.preparation.prepare import prepare
from ordinalclip.training.split_data import LabelDraw
from tests.conftest import Compose
from tests.datasets.made import make_manifest

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
