from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.comparison import Comparison, compare
from analysis.frame import frame_of_folder
from analysis.holm import holm
from ordinalclip.errors import ConfigError
from tests.analysis.made_runs import made_run, with_predictions

Errors = Callable[[np.random.Generator], np.ndarray]
RANK = np.tile(np.arange(1, 9), 25)  # 200 images whose errors never leave the scale


def make(root: Path, prompt: str, seed: int, error: np.ndarray | float, **settings: Any) -> Path:
    """A run whose every image has this absolute error."""
    known = {"prompt.name": prompt, "seed": seed} | {key.replace("__", "."): value for key, value in settings.items()}
    directory = made_run(root, f"{prompt}{seed}{len(list(root.glob('made-*')))}", known)
    return with_predictions(directory, RANK, RANK + error)


def compared(root: Path, **options: Any) -> Comparison:
    return compare(frame_of_folder(root), ["prompt.name"], "test/mae", less=True, **options)


def test_what_is_clearly_better_is_ahead(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for seed in range(4):
        for prompt, error in (("linear", 0.8), ("rank", 0.3), ("context", 0.5)):
            make(tmp_path, prompt, seed, rng.normal(error, 0.1, 200).clip(0, 1) + rng.normal(0, 0.01))
    found = compared(tmp_path)
    assert [group.name for group in found.groups] == ["rank", "context", "linear"]
    assert found.winner is found.groups[0]
    assert [pair.how for pair in found.pairs] == ["seeds and images"] * 3
    assert all(pair.estimate is not None and pair.estimate.value < 0 for pair in found.pairs)
    raw = [pair.estimate.p for pair in found.pairs if pair.estimate is not None]
    assert [pair.adjusted for pair in found.pairs] == holm(raw)


def test_what_seeds_explain_is_not_ahead(tmp_path: Path) -> None:
    """Every single run of A beside B would be significant over images; over seeds there is nothing."""
    for prompt, errors in (("rank", (0.2, 0.6, 0.4)), ("context", (0.45, 0.25, 0.56))):
        for seed, error in enumerate(errors):
            make(tmp_path, prompt, seed, error)
    found = compared(tmp_path)
    assert found.winner is None
    (pair,) = found.pairs
    assert pair.estimate is not None
    reference = stats.ttest_rel([0.2, 0.6, 0.4], [0.45, 0.25, 0.56])  # all images alike: no chance in them
    sign = 1 if pair.a.name == "rank" else -1
    assert sign * pair.estimate.value == pytest.approx(0.4 - 0.42, abs=1e-6)
    assert pair.estimate.p == pytest.approx(reference.pvalue, abs=1e-6)


def test_single_runs_are_never_ahead(tmp_path: Path) -> None:
    make(tmp_path, "rank", 0, 0.1 + 0.01 * np.arange(200) / 200)
    make(tmp_path, "context", 0, 0.9)
    found = compared(tmp_path)
    (pair,) = found.pairs
    assert pair.how == "images alone: a single run"
    assert pair.adjusted < 0.001
    assert found.winner is None


def test_folds_are_corrected(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    differences = []
    for fold in range(5):
        errors = {prompt: float(rng.uniform(0.2, 0.4)) + shift for prompt, shift in (("rank", 0), ("context", 0.1))}
        differences.append(errors["rank"] - errors["context"])
        for prompt, error in errors.items():
            for seed in (0, 1):  # the mean over seeds is what a fold says
                directory = made_run(
                    tmp_path, f"{prompt}{fold}{seed}", {"prompt.name": prompt, "dataset.fold": fold, "seed": seed}
                )
                with_predictions(
                    directory, RANK, RANK + error + (seed - 0.5) * 0.02, first_image=1000 * fold, num_train=800
                )
    (pair,) = compared(tmp_path).pairs
    assert pair.estimate is not None
    mean, variance = np.mean(differences), np.var(differences, ddof=1)
    t = mean / np.sqrt((1 / 5 + 200 / 800) * variance)
    assert pair.estimate.p == pytest.approx(2 * stats.t.sf(abs(t), 4), rel=1e-4)
    assert pair.how == "5 test sets, corrected"
    group = pair.a
    assert group.summary(0.95).error == pytest.approx(
        np.sqrt((1 / 5 + 200 / 800) * np.var(list(group.by_test_set().values()), ddof=1))
    )


def test_other_images_are_not_compared(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path, "rank", seed, 0.1)
        directory = made_run(tmp_path, f"o{seed}", {"prompt.name": "context", "seed": seed})
        with_predictions(directory, RANK, RANK + 0.5, first_image=50)
    found = compared(tmp_path)
    (pair,) = found.pairs
    assert pair.estimate is None
    assert pair.how == "not compared: different test images: 200 and 200, of which 150 are the same"
    assert found.winner is None
    assert any("2 different test sets" in note for note in found.notes)


def test_other_stamps_are_not_compared(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path, "rank", seed, 0.1, protocol__select_on="test")
        make(tmp_path, "context", seed, 0.5)
    found = compared(tmp_path)
    (pair,) = found.pairs
    assert pair.how == "not compared: rank is selected on test, the other is not"
    assert [group.selected_on_test for group in found.groups] == [True, False]


def test_a_group_must_not_mix_settings(tmp_path: Path) -> None:
    make(tmp_path, "rank", 0, 0.1)
    make(tmp_path, "rank", 1, 0.1, lr=1e-2, trainable__rank=1e-2)
    with pytest.raises(ConfigError, match=r"differ in lr \(0\.001, 0\.01\).*\n.*by=…,lr"):
        compared(tmp_path)


def test_what_else_differs_is_told(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path, "rank", seed, 0.1, lr=1e-3, prompt__num_base_ranks=3)
        make(tmp_path, "context", seed, 0.2, lr=3e-3, paths__runs="elsewhere")
    notes = compared(tmp_path).notes
    assert [note for note in notes if "differ" in note] == ["they differ in lr, too: rank 0.001, context 0.003"]


def test_unfinished_runs_are_counted_not_averaged(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path, "rank", seed, 0.1)
    made_run(tmp_path, "x", {"seed": 2}, status="failed", scores={"test/mae": 9.0})
    made_run(tmp_path, "y", {"prompt.name": "context"}, status="interrupted")
    found = compared(tmp_path)
    (group,) = found.groups
    assert (len(group.scores), group.planned) == (2, 3)
    assert found.notes[0] == "context: none of its 1 runs is finished and has test/mae"
    assert found.pairs == ()


def test_against_a_baseline(tmp_path: Path) -> None:
    for prompt, error in (("rank", 0.1), ("context", 0.2), ("linear", 0.3)):
        for seed in (0, 1, 2):
            make(tmp_path, prompt, seed, error + 0.01 * seed * (1 if prompt == "rank" else -1))
    found = compared(tmp_path, baseline="context")
    assert [(pair.a.name, pair.b.name) for pair in found.pairs] == [("rank", "context"), ("linear", "context")]
    with pytest.raises(ConfigError, match="there is no such group"):
        compared(tmp_path, baseline="fixed")


def test_records_without_predictions_are_compared_over_seeds(tmp_path: Path) -> None:
    a, b = (0.1, 0.2, 0.4), (0.3, 0.5, 0.45)
    for prompt, scores in (("rank", a), ("context", b)):
        for seed, score in enumerate(scores):
            made_run(tmp_path, f"{prompt}{seed}", {"prompt.name": prompt, "seed": seed}, scores={"test/mae": score})
    (pair,) = compared(tmp_path).pairs
    assert pair.how == "seeds alone, not images"
    assert pair.estimate is not None
    assert pair.estimate.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert not pair.complete


@pytest.mark.slow
def test_equal_methods_are_seldom_ahead(tmp_path: Path) -> None:
    """Three equal methods of three seeds each: some method is called ahead of all others in at most 5 % of tries.

    How often pairs are told apart is tested without files in test_difference.py; this is the whole way.
    """
    rng = np.random.default_rng(5)
    rank = np.tile(np.arange(2, 8), 10)
    subject = [f"s{i // 3}" for i in range(60)]
    winners = []
    for attempt in range(15):
        root = tmp_path / str(attempt)
        for prompt in ("rank", "context", "linear"):
            method = rng.normal(0, 0.3, 20).repeat(3)  # what it makes of each subject
            for seed in range(3):
                error = 1 + method + rng.normal(0, 0.15) + rng.normal(0, 0.2, 60)
                directory = made_run(root, f"{prompt}{seed}", {"prompt.name": prompt, "seed": seed})
                with_predictions(directory, rank, rank + error.clip(0, 2), subject=subject)
        winners.append(compared(root).winner is not None)
    assert sum(winners) <= 2
