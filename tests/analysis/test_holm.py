import numpy as np
import pytest

from analysis.comparison import holm


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        # Holm 1979 by hand: 0.01·4, 0.02·3, max(0.06, 0.03·2), max(0.06, 0.04·1)
        ([0.01, 0.04, 0.03, 0.02], [0.04, 0.06, 0.06, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.001, 0.001, 0.2], [0.003, 0.003, 0.2]),
    ],
)
def test_by_hand(raw: list[float], adjusted: list[float]) -> None:
    np.testing.assert_allclose(holm(raw), adjusted)


def test_what_was_not_tested_is_not_counted() -> None:
    np.testing.assert_allclose(holm([np.nan, 0.02, np.nan, 0.04]), [np.nan, 0.04, np.nan, 0.04])


def test_some_false_rejection_is_as_likely_as_claimed() -> None:
    rng = np.random.default_rng(0)
    rejected = [min(holm(rng.random(6))) <= 0.05 for _ in range(4000)]
    assert 0.035 < np.mean(rejected) < 0.065
