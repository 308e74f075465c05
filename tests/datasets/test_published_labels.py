import statistics
from pathlib import Path

import numpy as np
import pytest

from ordinalclip.datasets.published_labels import counts_of_shares, vote_statistics, votes_as_labels, votes_table
from ordinalclip.errors import ConfigError

GRADES = [1, 1.5, 2.5, 3.5, 4.5, 5]
NAMES = ["bad", "poor", "fair", "good", "excellent"]


def test_statistics_are_those_of_the_votes_one_by_one() -> None:
    votes_NG = np.random.default_rng(0).integers(0, 30, (20, 10))
    mean, deviation = vote_statistics(votes_NG)
    for row, counts in enumerate(votes_NG):
        ballots = [grade for grade, count in enumerate(counts, 1) for _ in range(count)]
        assert mean[row] == pytest.approx(statistics.fmean(ballots))
        assert deviation[row] == pytest.approx(statistics.pstdev(ballots))
    # Shares of the votes come to the same.
    shares = vote_statistics(votes_NG / votes_NG.sum(axis=1, keepdims=True))
    assert np.allclose(shares, [mean, deviation])


def test_ranks_are_cut_from_the_mean() -> None:
    votes = np.array(
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 3, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 9]]
    )
    table, grading = votes_table(votes, Path("x"), GRADES, NAMES, [1, 2, 3, 4, 5])
    assert table["value"].tolist() == [1, 1.5, 2.5, 4.25, 4.5, 5]
    assert table["rank"].tolist() == [0, 1, 2, 3, 4, 4]  # an edge belongs to the rank above it
    assert table["votes"].tolist()[3] == "0 0 0 3 1"
    assert (grading.names, grading.values) == (NAMES, [1, 2, 3, 4, 5])
    plain = votes_table(votes, Path("x"), [1, 3, 5], None, None)[1]
    assert (plain.names, plain.values) == (["1 to 3", "3 to 5"], [2, 4])
    assert votes_table(votes, Path("x"), 2, None, None)[0]["rank"].tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ConfigError, match=r"5 for the 2 ranks that dataset\.bins makes") as caught:
        votes_table(votes, Path("x"), [1, 3, 5], NAMES, None)
    assert "rank_names=null" in caught.value.remedy


def test_a_mean_that_is_an_edge_is_one_in_shares_too() -> None:
    counts = np.array([[0, 1, 1, 0, 0], [3, 3, 0, 0, 0], [0, 49, 49, 0, 0]])
    for votes in (counts, counts / counts.sum(axis=1, keepdims=True)):
        assert votes_table(votes, Path("x"), GRADES, NAMES, None)[0]["rank"].tolist() == [2, 1, 2]


def test_counts_are_made_of_shares() -> None:
    counts = np.random.default_rng(0).integers(1, 60, (50, 5))
    total = counts.sum(axis=1)
    shares = np.array([[float(f"{share:.12g}") for share in row] for row in counts / total[:, None]])
    assert np.array_equal(counts_of_shares(shares, total), counts)
    assert np.array_equal(counts_of_shares(counts.astype(float), total), counts)
    for wrong in (total + 1, np.full(50, np.nan)):
        left = counts_of_shares(shares, wrong)
        assert np.array_equal(left[3], shares[3])


def test_votes_are_labels_where_ranks_are_grades() -> None:
    votes = np.array([[2, 0, 1, 0, 0], [0, 0, 0, 0, 3]])
    assert votes_as_labels(votes, GRADES) == ["0 0 2", "4 4 4"]
    assert votes_as_labels(votes.astype(float), GRADES) == ["0 0 2", "4 4 4"]
    assert votes_as_labels(votes / 3, GRADES) is None
    for bins in (5, [1, 3, 5], [1, 1.2, 1.5, 2.5, 4.5, 5]):
        assert votes_as_labels(votes, bins) is None
