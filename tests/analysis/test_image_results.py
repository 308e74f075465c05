from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.image_results import read_image_results
from ordinalclip.errors import DataError
from ordinalclip.metrics.collection import rank_metrics
from ordinalclip.scoring.scores import compute_scores
from tests.analysis.made_runs import made_run, with_predictions


def test_mean_scores_of_images_are_the_run_s(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rank, given = rng.integers(10, size=50), rng.uniform(0, 9, 50)
    tested = read_image_results(with_predictions(made_run(tmp_path, "0"), rank, given))
    probs = torch.from_numpy(tested.predictions.probs)
    reference = rank_metrics(probs, torch.from_numpy(rank), torch.arange(10, dtype=torch.float64))
    for name in ("mae", "mae_argmax", "mae_median", "accuracy", "accuracy_within_1", "rps"):
        scores = tested.scores(name)
        assert scores is not None
        assert scores.mean() == pytest.approx(float(reference[name]), abs=1e-6), name
    others = ("qwk", "spearman", "amae", "mmae", "aurc", "ece", "tce", "cs_1.5", "accuracy_within_2")
    all_scores = compute_scores(tested.predictions, others)
    for name in others[:-2]:
        weighted = tested.weighted(name)
        assert weighted is not None
        assert weighted(np.ones(50)) == pytest.approx(all_scores[name], abs=1e-6), name
    for name in others[-2:]:
        scores = tested.scores(name)
        assert scores is not None
        assert scores.mean() == pytest.approx(all_scores[name], abs=1e-9), name
    assert tested.scores("qwk") is None
    assert tested.weighted("worst_group_mae") is None
    assert tested.num_train == 80


def test_a_test_set_is_its_images_whatever_their_order(tmp_path: Path) -> None:
    one = read_image_results(with_predictions(made_run(tmp_path, "0"), [1, 2, 3], [1, 2, 3], subject=["a", "b", "a"]))
    other = read_image_results(with_predictions(made_run(tmp_path, "1"), [1, 2, 4], [1, 2, 3]))
    again = with_predictions(made_run(tmp_path, "2"), [1, 2, 3], [1, 2.5, 3])
    table = pd.read_parquet(again / "predictions.parquet")
    table.iloc[::-1].to_parquet(again / "predictions.parquet")
    turned = read_image_results(again)
    assert one.test_set == turned.test_set != other.test_set
    np.testing.assert_allclose(turned.scores("mae"), [0, 0.5, 0])
    assert one.subject is not None
    assert one.subject[0] == one.subject[2] != one.subject[1]
    assert other.subject is None


def test_a_record_without_predictions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"predictions\.parquet is not there"):
        read_image_results(made_run(tmp_path, "0"))


def test_weights_follow_the_images_whatever_their_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rank, given = rng.integers(10, size=30), rng.uniform(0, 9, 30)
    one, other = (with_predictions(made_run(tmp_path, name), rank, given) for name in "ab")
    pd.read_parquet(other / "predictions.parquet").sample(frac=1, random_state=0).to_parquet(
        other / "predictions.parquet"
    )
    weights = rng.integers(0, 3, size=30).astype(float)
    scores = [read_image_results(directory).weighted("spearman") for directory in (one, other)]
    found = [score(weights) for score in scores if score is not None]
    assert found[0] == pytest.approx(found[1])
