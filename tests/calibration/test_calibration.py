import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from ordinalclip.calibration.calibration import (
    LIMITS,
    apply_calibration,
    calibration_record,
    coverage,
    coverage_stats,
    fit_calibration,
    fit_temperature,
    scale,
)
from ordinalclip.errors import ConfigError
from ordinalclip.metrics.proper_scores import TINY
from ordinalclip.scoring.details import jsonable
from tests.calibration.made import draw, predictions, softmax


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


def some(whole, rows):
    return replace(whole, probs=whole.probs[rows], rank=whole.rank[rows])


def test_the_record_says_what_it_does():
    calibration, test = predictions(400, seed=1, sharpness=3), predictions(1000, seed=2, sharpness=3)
    record = calibration_record(calibration, test)
    assert json.loads(json.dumps(record)) == record
    assert record["n"] == 400
    assert record["default"] == "0.9"
    assert list(record["levels"]) == ["0.8", "0.9", "0.95"]
    assert record["temperature"] == pytest.approx(3, rel=0.2)
    assert record["nll"]["after"] < record["nll"]["before"]
    assert record["test_nll"]["after"] < record["test_nll"]["before"]
    before = -np.log(test.probs[np.arange(1000), test.rank].astype(float).clip(min=TINY)).mean()
    assert record["test_nll"]["before"] == pytest.approx(before, rel=1e-5)
    for name, level in record["levels"].items():
        tested = level["test"]
        # Of 400 calibration images and of 1,000 test images, both of which are draws.
        low, high = level["expected"]
        assert binom.ppf(0.001, 1000, low) / 1000 <= tested["coverage"] <= binom.ppf(0.999, 1000, high) / 1000
        assert tested["interval"][0] < tested["coverage"] < tested["interval"][1]
        found = apply_calibration(test.probs, record, float(name))
        assert ((found.lower <= test.rank) & (test.rank <= found.upper)).mean() == tested["coverage"]
    widths = [level["test"]["mean_width"] for level in record["levels"].values()]
    assert widths == sorted(widths)
    stats = coverage_stats(record)
    assert stats["coverage_90"] == record["levels"]["0.9"]["test"]["coverage"]
    assert stats["interval_width_90"] == widths[1]


def test_coverage_by_hand():
    test = replace(predictions(4, num_ranks=4), rank=np.array([0, 0, 1, 3]))
    found = coverage(np.array([0, 1, 1, 0]), np.array([1, 1, 1, 3]), test)
    assert found["coverage"] == 0.75
    assert found["mean_width"] == (2 + 1 + 1 + 4) / 4
    assert found["mean_width_value"] == (10 + 0 + 0 + 30) / 4
    assert (found["singletons"], found["full"]) == (0.5, 0.25)
    assert found["by_rank"]["count"] == [2, 1, 0, 1]
    assert found["by_rank"]["coverage"] == [0.5, 1, None, 1]
    assert found["by_rank"]["interval"][2] is None


@pytest.mark.parametrize("num_images", [0, 5, 12])
def test_too_few_images_are_said_and_promise_nothing(num_images):
    record = calibration_record(some(predictions(12), slice(num_images)), predictions(50, seed=1))
    nothing = record["levels"]["0.95"]
    assert nothing["threshold"] is None
    assert nothing["reason"] == f"{num_images} calibration images; this level takes at least 19"
    assert "test" not in nothing
    assert (record["temperature"] is None) == (num_images < 10)
    assert bool(coverage_stats(record)) == (num_images >= 9)
    found = apply_calibration(predictions(3).probs, record | {"default": "0.95"})
    assert found.lower is found.upper is None
    assert found.reason == nothing["reason"]
    with pytest.raises(ConfigError, match=f"level=0.95: there are no such intervals: {num_images} calibration images"):
        apply_calibration(predictions(3).probs, record, 0.95)
    if num_images == 0:
        assert found.probs == pytest.approx(predictions(3).probs)
        assert record["reason"] == "0 calibration images; a temperature takes at least 10"


def test_a_level_of_ones_own():
    record = fit_calibration(predictions(200), alpha=0.25)
    assert record["default"] == "0.75"
    assert list(record["levels"]) == ["0.75", "0.8", "0.9", "0.95"]
    probs = predictions(10, seed=3).probs
    assert apply_calibration(probs, record).level == 0.75
    with pytest.raises(ConfigError, match=r"(?s)level=0.99: is not among the levels.*0.75, 0.8, 0.9, 0.95"):
        apply_calibration(probs, record, 0.99)


def test_a_run_without_a_record():
    found = apply_calibration(predictions(3).probs, None)
    assert found.lower is None
    assert found.reason == "nothing was calibrated for these ranks"
    with pytest.raises(ConfigError, match=r"level=0\.9: there are no intervals: nothing was calibrated"):
        apply_calibration(predictions(3).probs, None, 0.9)


def test_two_ranks_and_one_that_is_always_right():
    record = calibration_record(predictions(100, num_ranks=2), predictions(100, num_ranks=2, seed=1))
    assert set(apply_calibration(predictions(50, 2, seed=2).probs, record).upper) <= {0, 1}
    sure = predictions(40)
    sure = replace(sure, probs=np.eye(6, dtype=np.float32)[sure.rank])
    record = calibration_record(sure, sure)
    assert record["levels"]["0.9"]["threshold"] == 0
    assert record["levels"]["0.9"]["test"] | {"by_rank": 0, "interval": 0} == {
        "count": 40, "coverage": 1, "mean_width": 1, "mean_width_value": 0, "singletons": 1, "full": 0, "by_rank": 0,
        "interval": 0,
    }  # fmt: skip


def test_images_of_few_subjects_count_for_few():
    record = fit_calibration(predictions(100, family=np.arange(100) // 20))
    assert record["families"] == 5
    assert "only 5 subjects, groups or blocks" in record["notes"][0]
    assert record["temperature"] is None
    assert record["reason"] == "100 calibration images of 5 subjects, groups or blocks; a temperature takes at least 10"
    assert record["levels"]["0.9"]["expected"] is None  # five could not promise 90 %
    alone = fit_calibration(predictions(100))
    many = fit_calibration(predictions(100, family=np.arange(100) // 2))
    assert alone["notes"] == many["notes"] == []
    assert many["levels"]["0.9"]["expected"][0] < alone["levels"]["0.9"]["expected"][0]


def test_reordering_the_calibration_images_changes_nothing():
    whole = predictions(80)
    order = np.random.default_rng(0).permutation(80)
    one, other = (fit_calibration(images)["levels"] for images in (whole, some(whole, order)))
    assert one == other


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_model_that_broke_breaks_no_record():
    broken = replace(predictions(30), probs=np.full((30, 6), np.nan, dtype=np.float32))
    record = jsonable(calibration_record(broken, broken))
    assert record["nll"]["before"] is None
    assert json.dumps(record, allow_nan=False)
