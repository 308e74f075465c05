import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from ordinalclip.metrics.reliability import (
    PITHistogram,
    ThresholdCalibration,
    calibration_bias,
    calibration_errors,
    pit_moments,
    pit_sums,
    reliability_sums,
    threshold_sums,
)
from tests.metrics.test_collection import sample


def test_each_threshold_is_torchmetrics_binary_error():
    probs, rank = sample(200)
    metric = ThresholdCalibration(5)
    for rows in (slice(0, 150), slice(150, 200)):
        metric.update(probs[rows], rank[rows])
    cumulative = probs.double().cumsum(1).T.contiguous()
    expected = [binary_calibration_error(cumulative[k], (rank <= k).int(), n_bins=10, norm="l1") for k in range(4)]
    assert metric.compute().tolist() == pytest.approx(torch.stack(expected).tolist(), rel=1e-5)


def test_the_argmax_figure_has_the_error_that_is_reported():
    probs, rank = sample(200)
    sureness, mode = probs.max(1)
    sums = reliability_sums(sureness[:, None], (mode == rank)[:, None], 15)
    expected = multiclass_calibration_error(probs, rank, 5, n_bins=15, norm="l1")
    assert float(calibration_errors(sums)[0]) == pytest.approx(float(expected), rel=1e-5)


def test_what_is_drawn_from_the_predictions_is_calibrated_and_what_is_shifted_is_not():
    generator = torch.Generator().manual_seed(0)
    probs = (1.5 * torch.randn(40_000, 4, generator=generator)).softmax(1)
    rank = torch.multinomial(probs, 1, generator=generator).squeeze(1)
    sums = threshold_sums(probs, rank)
    assert float(calibration_errors(sums).max()) < 0.015
    assert calibration_bias(sums).abs().max() < 0.01
    higher = (rank + 1).clamp(max=3)
    sums = threshold_sums(probs, higher)
    assert float(calibration_errors(sums).min()) > 0.1
    assert calibration_bias(sums).min() > 0.1  # P(rank <= k) is too large throughout


def test_bias_and_bins_by_hand():
    probs, rank = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    count, predicted, observed = threshold_sums(probs, rank, bins=4).numpy()
    np.testing.assert_array_equal(count, [[1, 1, 0, 1]])  # 0.25 opens the second bin, 1 closes the last
    np.testing.assert_array_equal(predicted, [[0, 0.25, 0, 1]])
    np.testing.assert_array_equal(observed, [[0, 1, 0, 1]])
    sums = threshold_sums(probs, rank, bins=4)
    assert calibration_errors(sums).tolist() == [0.25]
    assert calibration_bias(sums).tolist() == [-0.25]


def test_it_is_the_mean_of_the_randomised_histogram():
    probs, rank = sample(40)
    rng = np.random.default_rng(0)
    upper = probs.double().numpy().cumsum(axis=1)[np.arange(40), rank]
    lower = upper - probs.double().numpy()[np.arange(40), rank]
    drawn = lower + (upper - lower) * rng.random((20_000, 40))
    counts = np.histogram(drawn, bins=10, range=(0, 1))[0] / 20_000
    metric = PITHistogram(5)
    for rows in (slice(0, 30), slice(30, 40)):
        metric.update(probs[rows], rank[rows])
    assert pit_sums(probs, rank).tolist() == pytest.approx(counts, abs=0.05)
    assert metric.compute().tolist() == pytest.approx(counts / 4, abs=0.0125)
    mean, variance = pit_moments(probs, rank)
    assert float(mean) == pytest.approx(drawn.mean(), abs=0.002)
    assert float(variance) == pytest.approx(drawn.var(), abs=0.002)


def test_flat_where_ranks_are_drawn_from_the_predictions():
    generator = torch.Generator().manual_seed(0)
    probs = (1.5 * torch.randn(20_000, 6, generator=generator)).softmax(1)
    rank = torch.multinomial(probs, 1, generator=generator).squeeze(1)
    assert chisquare(pit_sums(probs, rank)).pvalue > 0.01
    mean, variance = pit_moments(probs, rank)
    assert float(mean) == pytest.approx(0.5, abs=0.01)
    assert float(variance) == pytest.approx(1 / 12, abs=0.002)
    sharper = probs.pow(3) / probs.pow(3).sum(1, keepdim=True)
    assert float(pit_moments(sharper, rank)[1]) > 0.1  # too sure: both ends are high


def test_points_and_ends_lose_no_image():
    probs = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])
    for rank, expected in (([0, 0, 2, 1], [0.5, 0.5]), ([2, 1, 0, 0], None)):
        sums = pit_sums(probs, torch.tensor(rank), bins=2)
        assert float(sums.sum()) == pytest.approx(4)
        if expected is not None:  # three whole stretches 0…1, and one 0.5…1
            assert sums.tolist() == pytest.approx([1.5, 2.5])
    assert pit_sums(probs[:1], torch.tensor([2]), bins=2).tolist() == pytest.approx([0, 1])  # y is far too high
    assert pit_sums(probs[2:3], torch.tensor([0]), bins=2).tolist() == pytest.approx([1, 0])
