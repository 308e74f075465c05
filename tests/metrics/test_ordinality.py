import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from ordinalclip.errors import ConfigError
from ordinalclip.metrics.ordinality import (
    REFERENCE_SLICE,
    off_diagonal_ordinality,
    ordinality,
    ordinality_score,
    row_softmax,
    score_chance,
    similarity,
    spans,
)


def arc(num_ranks):
    """Features on a quarter circle: perfectly ordered."""
    angle = torch.linspace(0, math.pi / 2, num_ranks)
    return torch.stack([angle.cos(), angle.sin()], 1)


def slow_score(similarity_RR, span):
    """The paper's script, pair by pair."""
    steps = len(similarity_RR) - 1
    obeying = pairs = 0
    for i in range(steps):
        for j in range(i, steps):
            if j - i < span:
                pairs += 1
                obeying += bool(similarity_RR[i, j] > similarity_RR[i, j + 1])
    return obeying / pairs


def slow_off_diagonal(similarity_RR):
    num_ranks = len(similarity_RR)
    steps = [(i, j, j + 1) for i in range(num_ranks) for j in range(i + 1, num_ranks - 1)]
    steps += [(i, j, j - 1) for i in range(num_ranks) for j in range(1, i)]
    return sum(bool(similarity_RR[i, j] > similarity_RR[i, k]) for i, j, k in steps) / len(steps)


@pytest.mark.parametrize("num_ranks", [3, 5, 12])
def test_equals_the_slow_loops(num_ranks):
    torch.manual_seed(0)
    features = torch.randn(num_ranks, 16)
    found = ordinality(features)
    unit = normalize(features, dim=1).double()
    cosines = unit @ unit.T
    assert found.spans == {span: pytest.approx(slow_score(cosines, span)) for span in spans(num_ranks)}
    assert found.score == found.spans[num_ranks - 1]
    assert found.off_diagonal == pytest.approx(slow_off_diagonal(cosines))


def test_similarity_is_divided_by_its_largest():
    features = 5 * torch.randn(6, 4)
    found = similarity(features)
    assert found.max().item() == 1
    cosines = torch.nn.functional.cosine_similarity(features[:, None], features[None], dim=2)
    np.testing.assert_allclose(found, cosines, atol=1e-5)


def test_softmax_of_rows():
    found = similarity(torch.randn(6, 4))
    np.testing.assert_allclose(row_softmax(found), torch.from_numpy(found).softmax(1), rtol=1e-12)


def test_a_feature_without_length_is_similar_to_none():
    np.testing.assert_array_equal(similarity([[0.0, 0.0], [2.0, 0.0]]), [[0, 0], [0, 1]])


def test_spans():
    assert spans(61) == [1, 2, 4, 8, 16, 32, 60]
    assert spans(5) == [1, 2, 4]
    assert spans(2) == [1]


def test_chance_levels_in_closed_form():
    assert score_chance(61) == pytest.approx(63 / 122)  # (R + 2) / (2 R)
    assert score_chance(5) == pytest.approx(0.7)
    assert score_chance(101, 1) == 1
    assert score_chance(7) == score_chance(7, 6) == score_chance(7, 100)


def test_random_features_score_what_chance_says():
    torch.manual_seed(0)
    found = [ordinality(torch.randn(8, 64)) for _ in range(80)]
    for span in spans(8):
        mean = sum(one.spans[span] for one in found) / len(found)
        assert mean == pytest.approx(score_chance(8, span), abs=0.04)
    assert sum(one.off_diagonal for one in found) / len(found) == pytest.approx(0.5, abs=0.04)
    assert found[0].score_chance == score_chance(8)
    assert found[0].off_diagonal_chance == 0.5


def test_ordered_features():
    found = ordinality(arc(9))
    assert found.score == found.off_diagonal == 1


def test_turning_the_order_round_changes_only_the_one_sided_score():
    torch.manual_seed(1)
    features = torch.randn(9, 4)
    forward, back = similarity(features), similarity(features.flip(0))
    assert off_diagonal_ordinality(forward) == off_diagonal_ordinality(back)
    assert ordinality_score(forward) != ordinality_score(back)


def test_equal_features_are_not_ordered_by_rounding():
    torch.manual_seed(0)
    features = torch.randn(1, 512).expand(20, -1)
    found = ordinality(features)
    assert found.off_diagonal == 0
    assert found.score == pytest.approx(19 / (19 * 20 / 2))  # the diagonal only


def test_two_ranks_have_no_step_off_the_diagonal():
    found = ordinality(torch.eye(2))
    assert found.score == 1
    assert math.isnan(found.off_diagonal)
    assert math.isnan(found.adjusted)
    assert math.isnan(found.kendall)
    assert found.out_of_order == []


def test_a_slice_is_scored_as_if_the_other_ranks_were_not_there():
    torch.manual_seed(2)
    features = torch.randn(101, 8)
    found, alone = ordinality(features, REFERENCE_SLICE), ordinality(features[15:76])
    assert found.spans == alone.spans
    assert list(found.spans) == [1, 2, 4, 8, 16, 32, 60]
    assert found.kendall == alone.kendall
    assert [pair["rank"] - 15 for pair in found.out_of_order] == [pair["rank"] for pair in alone.out_of_order]


@pytest.mark.parametrize("ranks", [(0, 1), (3, 3), (-1, 4), (2, 6)])
def test_a_slice_that_is_none_is_refused(ranks):
    with pytest.raises(ConfigError, match="two ranks at least"):
        ordinality(torch.randn(5, 3), ranks)
