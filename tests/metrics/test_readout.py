import pytest
import torch

from ordinalclip.config.checks import READOUTS
from ordinalclip.metrics.readout import argmax, expectation, median, read_out, rounded_expectation
from ordinalclip.scoring.image_scores import readouts


def test_by_hand():
    probs = torch.tensor([[0.4, 0.1, 0.1, 0.4], [0.0, 0.6, 0.0, 0.4], [0.0, 0.0, 0.0, 1.0], [0.5, 0.0, 0.5, 0.0]])
    assert argmax(probs).tolist() == [0, 1, 3, 0]
    assert median(probs).tolist() == [1, 1, 3, 0]
    assert expectation(probs).tolist() == pytest.approx([1.5, 1.8, 3.0, 1.0], abs=1e-6)
    values = torch.tensor([1930.0, 1940.0, 1950.0, 1970.0])
    assert expectation(probs, values).tolist() == pytest.approx([1949, 1952, 1970, 1940], abs=1e-3)


def test_median_minimises_the_expected_absolute_error():
    torch.manual_seed(0)
    probs = (3 * torch.randn(50, 7)).softmax(1).double()
    ranks = torch.arange(7)
    error = probs @ (ranks[:, None] - ranks).abs().double()
    assert median(probs).tolist() == error.argmin(1).tolist()


def test_median_of_probabilities_that_lost_their_sum():
    assert median(torch.tensor([[0.1, 0.1, 0.1]])).tolist() == [2]


def test_rounded_expectation_and_every_readout_by_name():
    probs = torch.tensor([[0.4, 0.1, 0.1, 0.4], [0.0, 0.6, 0.0, 0.4], [0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]])
    assert rounded_expectation(probs).tolist() == [2, 2, 0, 2]  # of halves the even one
    values = torch.tensor([1930.0, 1940.0, 1950.0, 1970.0])
    by_name = {"argmax": argmax, "median": median, "rounded_expectation": rounded_expectation}
    for name, function in by_name.items():
        assert read_out(probs, name).tolist() == function(probs).tolist()
        assert read_out(probs, name, values).tolist() == values[function(probs)].tolist()
    assert read_out(probs, "expectation", values).tolist() == expectation(probs, values).tolist()
    assert rounded_expectation(torch.full((1, 3), float("nan"))).tolist() == [0]  # its score is nan anyway


def test_readouts_of_tables_are_the_same():
    torch.manual_seed(0)
    probs = (2 * torch.randn(200, 7)).softmax(1)
    values = torch.tensor([0.0, 1, 2, 5, 7, 11, 20], dtype=torch.float64)
    for unit in (None, values):
        found = readouts(probs.numpy(), None if unit is None else unit.numpy())
        assert set(found) == set(READOUTS)
        for name in READOUTS:
            assert found[name] == pytest.approx(read_out(probs, name, unit).numpy()), name
