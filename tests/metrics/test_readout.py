import pytest
import torch

from ordinalclip.metrics.readout import argmax, expectation, median


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
