import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from ordinalclip.metrics.reliability import (
    ThresholdCalibration,
    calibration_bias,
    calibration_errors,
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
