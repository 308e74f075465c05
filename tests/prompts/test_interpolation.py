import math

import numpy as np
import pytest
import torch

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.interpolation import base_positions, interpolation_weights

KINDS = ["linear", "inv_prop", "normal", "piecewise"]


def slow_weights(kind, num_ranks, num_base_ranks):
    """Rank by rank in plain Python, from the paper's formulas."""
    if num_base_ranks == 1:
        positions = [(num_ranks - 1) / 2]
    else:
        positions = [k * (num_ranks - 1) / (num_base_ranks - 1) for k in range(num_base_ranks)]
    rows = []
    for rank in range(num_ranks):
        row = []
        for position in positions:
            d = abs(rank - position)
            match kind:
                case "linear":
                    row.append(1 - d / (num_ranks - 1))
                case "inv_prop":
                    row.append(1 / (d + 1e-5))
                case "normal":
                    row.append(math.exp(-(d**2)))
        rows.append([weight / sum(row) for weight in row])
    return torch.tensor(rows)


@pytest.mark.parametrize(("num_ranks", "num_base_ranks"), [(2, 1), (2, 2), (5, 3), (8, 3), (8, 8), (20, 9)])
@pytest.mark.parametrize("kind", ["linear", "inv_prop", "normal"])
def test_weights_are_those_of_the_formulas(kind, num_ranks, num_base_ranks):
    weights = interpolation_weights(kind, num_ranks, num_base_ranks)
    torch.testing.assert_close(weights, slow_weights(kind, num_ranks, num_base_ranks))


@pytest.mark.parametrize(
    ("rank", "row"), [(0, [2 / 3, 1 / 3, 0]), (25, [3 / 7, 3 / 7, 1 / 7]), (50, [1 / 4, 1 / 2, 1 / 4])]
)
def test_linear_rows_worked_out_by_hand(rank, row):
    torch.testing.assert_close(interpolation_weights("linear", 101, 3)[rank], torch.tensor(row))


@pytest.mark.parametrize("num_base_ranks", [1, 2, 3, 7, 101])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_finite_not_negative_and_sum_to_1(kind, num_base_ranks):
    weights = interpolation_weights(kind, 101, num_base_ranks)
    assert weights.shape == (101, num_base_ranks)
    assert weights.isfinite().all()
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(101))


def test_normal_far_from_every_base_rank_follows_the_nearest():
    # By the formula itself every term of row 25 underflows in float32, and the row is 0/0.
    weights = interpolation_weights("normal", 101, 3)
    torch.testing.assert_close(weights[24], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(weights[25], torch.tensor([0.5, 0.5, 0.0]))


def test_piecewise_is_numpy_s_straight_line_between_base_ranks():
    positions = base_positions(11, 4).numpy()
    heights = np.array([3.0, -1.0, 4.0, 1.0])
    expected = np.interp(np.arange(11), positions, heights)
    found = interpolation_weights("piecewise", 11, 4).double().numpy() @ heights
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["inv_prop", "piecewise"])
def test_base_ranks_are_reproduced_at_their_own_positions(kind):
    weights = interpolation_weights(kind, 9, 3)
    torch.testing.assert_close(weights[[0, 4, 8]], torch.eye(3), atol=1e-5, rtol=0)


def test_positions():
    assert base_positions(101, 3).tolist() == [0, 50, 100]
    assert base_positions(8, 3).tolist() == [0, 3.5, 7]
    assert base_positions(6, 1).tolist() == [2.5]


@pytest.mark.parametrize("num_base_ranks", [0, 6])
def test_number_of_base_ranks_out_of_range(num_base_ranks):
    with pytest.raises(ConfigError, match=r"prompt.num_base_ranks=\d: out of range\n  allowed: 1 to 5"):
        interpolation_weights("linear", 5, num_base_ranks)


def test_unknown_interpolation():
    with pytest.raises(ConfigError, match=r"prompt.interpolation=cubic"):
        interpolation_weights("cubic", 5, 3)
