import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from ordinalclip.metrics.collection import RankMetrics, rank_metrics

NAMES = {
    "mae", "mae_value", "mae_argmax", "mae_median", "mae_rounded_expectation",
    "accuracy", "accuracy_expectation", "accuracy_within_1", "qwk",
    "spearman", "rps", "ece",
}  # fmt: skip
VALUES = [1930.0, 1940.0, 1950.0, 1970.0, 2000.0]


def slow_metrics(probs, rank):
    """By scikit-learn, scipy and plain numpy."""
    probs, rank, values = probs.double().numpy(), rank.numpy(), np.array(VALUES)
    mean, mode = probs @ np.arange(5), probs.argmax(1)
    median = np.array([next(k for k in range(5) if row[: k + 1].sum() >= 0.5) for row in probs])
    steps = [[(row[: k + 1].sum() - (y <= k)) ** 2 for k in range(5)] for row, y in zip(probs, rank, strict=True)]
    confidence, right = probs.max(1), mode == rank
    ece = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            ece += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return {
        "mae": mean_absolute_error(rank, mean),
        "mae_value": mean_absolute_error(values[rank], probs @ values),
        "mae_argmax": mean_absolute_error(rank, mode),
        "mae_median": mean_absolute_error(rank, median),
        "mae_rounded_expectation": mean_absolute_error(rank, mean.round()),
        "accuracy": accuracy_score(rank, mode),
        "accuracy_expectation": accuracy_score(rank, mean.round()),
        "accuracy_within_1": np.mean(np.abs(mode - rank) <= 1),
        "qwk": cohen_kappa_score(rank, mode, weights="quadratic", labels=range(5)),
        "spearman": spearmanr(mean, rank).statistic,
        "rps": np.sum(steps) / len(rank) / 4,
        "ece": ece,
    }


def sample(num_images, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rank = torch.randint(5, (num_images,), generator=generator)
    logits = torch.randn(num_images, 5, generator=generator) + 1.5 * torch.eye(5)[rank]
    return logits.softmax(1), rank


def numbers(metrics):
    return {name: float(value) for name, value in metrics.items()}


def test_equal_to_scikit_learn_and_scipy_whatever_the_batches():
    probs, rank = sample(103)
    metrics = RankMetrics(5, VALUES)
    for start in range(0, 103, 20):  # the last batch is a short one
        metrics.update(probs[start : start + 20], rank[start : start + 20])
    found = numbers(metrics.compute())
    assert set(found) == NAMES
    assert found == pytest.approx(slow_metrics(probs, rank), rel=1e-5)
    metrics.reset()
    metrics.update(probs[:7], rank[:7])
    assert numbers(metrics.compute())["mae"] == pytest.approx(slow_metrics(probs[:7], rank[:7])["mae"], rel=1e-5)


@pytest.mark.parametrize("predicted", [0, 2])
@pytest.mark.parametrize("true", [0, 4])
def test_one_class_and_one_answer(predicted, true):
    probs = torch.eye(5)[[predicted] * 6]
    found = numbers(rank_metrics(probs, torch.full((6,), true), torch.tensor(VALUES)))
    assert found["mae"] == abs(predicted - true)
    assert found["accuracy"] == (predicted == true)
    assert found["qwk"] == found["spearman"] == 0
    assert all(np.isfinite(value) for value in found.values())


def test_a_constant_answer_agrees_with_nothing():
    rank = torch.tensor([0, 1, 2, 3, 4])
    found = numbers(rank_metrics(torch.full((5, 5), 0.2), rank, torch.tensor(VALUES)))
    assert found["qwk"] == found["spearman"] == 0
    assert found["mae"] == pytest.approx(1.2)
    assert found["ece"] == pytest.approx(0, abs=1e-6)


def test_a_single_image_and_perfection():
    found = numbers(rank_metrics(torch.eye(5)[[3]], torch.tensor([3]), torch.tensor(VALUES)))
    assert found["mae"] == found["rps"] == found["ece"] == 0
    found = numbers(rank_metrics(torch.eye(5), torch.arange(5), torch.tensor(VALUES)))
    assert (found["qwk"], found["spearman"]) == pytest.approx((1, 1))


def test_two_ranks():
    probs, rank = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([0, 1, 1])
    found = numbers(rank_metrics(probs, rank, torch.tensor([0.0, 1.0])))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["accuracy_within_1"] == 1
    assert found["qwk"] == pytest.approx(cohen_kappa_score([0, 1, 1], [0, 1, 0], weights="quadratic"))


def test_a_model_that_broke_has_no_scores():
    probs, rank = sample(10)
    probs[3] = float("nan")
    assert all(np.isnan(value) for value in numbers(rank_metrics(probs, rank, torch.tensor(VALUES))).values())


def test_half_precision_is_taken():
    probs, rank = sample(50)
    metrics = RankMetrics(5, VALUES)
    metrics.update(probs.bfloat16(), rank)
    assert numbers(metrics.compute())["mae"] == pytest.approx(slow_metrics(probs, rank)["mae"], abs=0.02)


def test_nothing_of_it_enters_checkpoints():
    assert not RankMetrics(5, VALUES).state_dict()


def test_values_must_be_as_many_as_ranks():
    with pytest.raises(ValueError, match="5 values for 4 ranks"):
        RankMetrics(4, VALUES)
