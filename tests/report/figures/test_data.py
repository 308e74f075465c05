"""What the figures show."""

import math

import numpy as np
import pytest

from ordinalclip.report.figures.calibration import filled_bins
from ordinalclip.report.figures.canvas import Scale
from ordinalclip.report.figures.images import best_and_worst, typical_images
from ordinalclip.report.figures.learning import learning_curves
from ordinalclip.report.figures.predictions import bands, confusion_counts, shares_of_rows
from ordinalclip.report.figures.rank_features import principal_path, similarity_maps, violation_map
from tests.metrics.ranks import arc, random_features


@pytest.mark.parametrize(
    ("num_ranks", "labels"),
    [(2, [0, 1]), (11, list(range(11))), (16, list(range(0, 16, 2))), (101, list(range(0, 101, 10)))],
)
def test_labels_are_thinned_where_ranks_are_many(num_ranks: int, labels: list[int]) -> None:
    assert Scale([str(rank) for rank in range(num_ranks)]).places() == labels


def test_long_names_are_folded_and_cut() -> None:
    scale = Scale(["moderately defective, with micro-cracks and worse", ""])
    assert scale.short(0) == "moderately\ndefective, with…"
    assert scale.short(1) == ""


def test_the_unit_is_named_where_names_are_numbers() -> None:
    assert Scale(["0", "1.5"], "year").label("true rank") == "true rank (year)"
    assert Scale(["new", "old"], "year").label("true rank") == "true rank"


def test_similarity_maps() -> None:
    features = np.array([[2.0, 0.0], [0.0, 5.0], [-1.0, 1.0]])
    found = similarity_maps({"best": features})["best"]
    half = 0.5**0.5
    np.testing.assert_allclose(found, [[1, 0, -half], [0, 1, half], [-half, half, 1]], atol=1e-12)
    softmax = similarity_maps({"best": features}, softmax=True)["best"]
    np.testing.assert_allclose(softmax, np.exp(found) / np.exp(found).sum(axis=1, keepdims=True))


def test_violation_map_shows_rises_alone() -> None:
    features = arc(8)[[0, 1, 2, 3, 5, 4, 6, 7]]
    rises, shares = violation_map(features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert rises[0, 5] == pytest.approx(unit[0] @ unit[5] - unit[0] @ unit[4])
    assert math.isnan(rises[0, 4])
    assert shares.argmax() == 4
    assert not np.isfinite(violation_map(arc(8))[0]).any()


def test_path_keeps_distances_of_what_lies_in_a_plane() -> None:
    features = np.pad(arc(9), ((0, 0), (0, 5)))
    path, shares = principal_path(3 * features)
    between = np.linalg.norm(features[:, None] - features, axis=2)
    np.testing.assert_allclose(np.linalg.norm(path[:, None] - path, axis=2), between, atol=1e-12)
    assert shares.sum() == pytest.approx(1)
    assert path[0, 0] < path[-1, 0]
    np.testing.assert_allclose(path, principal_path(features[:, ::-1])[0], atol=1e-9)


def test_path_of_two_ranks_is_a_line() -> None:
    path, shares = principal_path(random_features(2))
    np.testing.assert_allclose(path[:, 1], 0, atol=1e-12)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)


def test_confusion() -> None:
    counts = confusion_counts(np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 0, 1, 0, 2]), 3)
    np.testing.assert_array_equal(counts, [[3, 1, 0], [0, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(shares_of_rows(counts), [[0.75, 0.25, 0], [np.nan] * 3, [0.5, 0, 0.5]])


def test_best_and_worst_by_error_then_by_probability_of_the_truth() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8]])
    best, worst = best_and_worst(probs, np.array([0, 0, 1, 0]), np.array([0.0, 0, 0, 1]))
    assert (best, worst) == ([0, 1], [3, 2])
    rank = np.arange(100) % 2
    best, worst = best_and_worst(np.full((100, 2), 0.5), rank, np.linspace(0, 1, 100))
    assert (len(best), len(worst)) == (16, 16)
    assert not set(best) & set(worst)


def test_typical_images_have_the_median_error_of_their_rank() -> None:
    rank = np.repeat(np.arange(20), 3)
    predicted = rank + np.tile([3.0, 0.0, -1.0], 20)
    rows = typical_images(rank, predicted)
    assert len(rows) == 8
    assert (rank[rows[0]], rank[rows[-1]]) == (0, 19)
    assert set((predicted - rank)[rows]) == {-1.0}


def test_bands_are_quantiles_of_each_true_rank() -> None:
    found = bands(np.array([0] * 11 + [2]), np.array([*range(11), 5.0]), 3)
    np.testing.assert_allclose(found[:, 0], [1, 5, 9])
    np.testing.assert_allclose(found[:, 2], 5)
    assert np.isnan(found[:, 1]).all()


def test_bins_of_few_images_are_left_out() -> None:
    found = filled_bins([9, 10, 0, 40], [0.1, 0.3, None, 0.9], [0.0, 0.5, None, 1.0])
    np.testing.assert_allclose(found, [[0.3, 0.9], [0.5, 1.0], [10, 40]])
    assert filled_bins([], [], []).shape == (3, 0)


def test_learning_curves_take_the_last_line_of_an_epoch_and_leave_out_the_test() -> None:
    lines = [
        {"epoch": 0, "values": {"train/loss": 3.0, "val/mae": 2.0}},
        {"epoch": 1, "values": {"train/loss": 9.0, "val/mae": 0.1}},
        {"epoch": 1, "values": {"train/loss": 2.0, "val/mae": 1.0, "ordinality": 0.7}},
        {"epoch": 2, "values": {"train/loss": 1.0, "val/mae": 1.0}},
        {"epoch": 3, "values": {"test/mae": 0.0, "ordinality": 0.7}},
    ]
    found = learning_curves(lines, "val/mae")
    np.testing.assert_array_equal(found.epoch, [1, 2, 3])
    np.testing.assert_array_equal(found.values["train/loss"], [3, 2, 1])
    np.testing.assert_array_equal(found.values["ordinality"], [np.nan, 0.7, np.nan])
    assert found.chosen == 2
    assert learning_curves(lines, "val/mae", largest=True).chosen == 1
    assert learning_curves([], "val/mae").chosen is None
