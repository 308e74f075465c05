import numpy as np
import pytest

from ordinalclip.calibration.calibration import LIMITS, fit_temperature, scale
from tests.calibration.made import draw, softmax


def test_it_is_a_softmax_of_logits_over_the_temperature():
    logits = np.random.default_rng(0).normal(size=(20, 5))
    for temperature in (0.3, 1.0, 4.0):
        assert scale(softmax(logits), temperature) == pytest.approx(softmax(logits / temperature))
    assert scale(softmax(logits), 1e3) == pytest.approx(0.2, abs=1e-2)
    assert (scale(softmax(logits), 7).argmax(axis=1) == logits.argmax(axis=1)).all()


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_applied_is_found(sharpness):
    logits, rank = draw(20_000, 5, np.random.default_rng(1), sharpness)
    assert fit_temperature(softmax(logits), rank) == pytest.approx(sharpness, rel=0.05)


def test_no_other_temperature_is_likelier():
    logits, rank = draw(200, 4, np.random.default_rng(2), 2.0)
    probs = softmax(logits)

    def likelihood(temperature):
        return np.log(scale(probs, temperature)[np.arange(200), rank]).mean()

    best = fit_temperature(probs, rank)
    assert likelihood(best) >= max(likelihood(t) for t in np.geomspace(*LIMITS, 2000))


def test_limits_and_underflow():
    right = np.array([[0.7, 0.3], [0.4, 0.6]])
    assert fit_temperature(right, np.array([0, 1])) == pytest.approx(LIMITS[0])  # always right: as sure as can be
    assert fit_temperature(right, np.array([1, 0])) == pytest.approx(LIMITS[1])  # always wrong
    assert fit_temperature(np.full((4, 3), 1 / 3), np.array([0, 1, 2, 0])) == 1  # any would do
    sure = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    scaled = scale(sure, 5.0)
    assert np.isfinite(scaled).all()
    assert scaled.sum() == pytest.approx(1)
    assert 1 < fit_temperature(np.repeat(sure, 9, axis=0), np.array([0] * 8 + [1])) <= LIMITS[1]
