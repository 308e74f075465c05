"""Comparisons of groups whose images have known errors."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.comparison import sheets_of
from analysis.estimates import holm
from ordinalclip.errors import ConfigError
from tests.analysis.made_errors import RANK, compared, make
from tests.analysis.made_runs import made_run, with_predictions


def test_what_is_clearly_better_is_ahead(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for seed in range(4):
        for prompt, error in (("linear", 0.8), ("rank", 0.3), ("context", 0.5)):
            make(tmp_path, prompt, seed, rng.normal(error, 0.1, 200).clip(0, 1) + rng.normal(0, 0.01))
    found = compared(tmp_path)
    assert [group.name for group in found.groups] == ["rank", "context", "linear"]
    assert found.winner is found.groups[0]
    assert [pair.basis for pair in found.pairs] == ["seeds and images"] * 3
    assert all(pair.estimate is not None and pair.estimate.value < 0 for pair in found.pairs)
    raw = [pair.estimate.p for pair in found.pairs if pair.estimate is not None]
    assert [pair.adjusted for pair in found.pairs] == holm(raw)


def test_single_runs_are_never_ahead(tmp_path: Path) -> None:
    make(tmp_path, "rank", 0, 0.1 + 0.01 * np.arange(200) / 200)
    make(tmp_path, "context", 0, 0.9)
    found = compared(tmp_path)
    (pair,) = found.pairs
    assert pair.basis == "images alone: a single run"
    assert pair.adjusted < 0.001
    assert found.winner is None


def test_what_else_differs_is_told(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path, "rank", seed, 0.1, lr=1e-3, prompt__num_base_ranks=3)
        make(tmp_path, "context", seed, 0.2, lr=3e-3, paths__runs="elsewhere")
    notes = compared(tmp_path).notes
    assert [note for note in notes if "differ" in note] == ["they differ in lr, too: rank 0.001, context 0.003"]


def test_against_a_baseline(tmp_path: Path) -> None:
    for prompt, error in (("rank", 0.1), ("context", 0.2), ("linear", 0.3)):
        for seed in (0, 1, 2):
            make(tmp_path, prompt, seed, error + 0.01 * seed * (1 if prompt == "rank" else -1))
    found = compared(tmp_path, baseline="context")
    assert [(pair.a.name, pair.b.name) for pair in found.pairs] == [("rank", "context"), ("linear", "context")]
    # What was not compared is not said to be even: linear and rank.
    assert sheets_of(found)[0].notes[-1] == "rank: ahead of context; linear: behind context"
    with pytest.raises(ConfigError, match="there is no such group"):
        compared(tmp_path, baseline="fixed")


@pytest.mark.slow
@pytest.mark.parametrize(("of_subjects", "seed_variance"), [(0.3, 0.02), (0.02, 0.3)])
def test_equal_methods_are_seldom_ahead(tmp_path: Path, of_subjects: float, seed_variance: float) -> None:
    """Three equal methods of three seeds each, the whole way through files: hardly ever does one win.

    Chance lies in what methods make of a subject, whose ten images are alike, or in seeds; where either is left out,
    most tries have a winner. That the rate is the nominal one is tested without files in test_difference.py.
    """
    rng = np.random.default_rng(5)
    rank = np.tile(np.arange(2, 7), 24)
    subject = [f"s{i // 10}" for i in range(120)]
    winners = []
    for attempt in range(8):
        root = tmp_path / str(attempt)
        for prompt in ("rank", "context", "linear"):
            method = rng.normal(0, of_subjects, 12).repeat(10)
            for seed in range(3):
                error = 1 + method + rng.normal(0, seed_variance) + rng.normal(0, 0.05, 120)
                directory = made_run(root, f"{prompt}{seed}", {"prompt.name": prompt, "seed": seed})
                with_predictions(directory, rank, rank + error.clip(0, 2), subject=subject)
        winners.append(compared(root).winner is not None)
    assert sum(winners) <= 1


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


@pytest.mark.slow
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
    assert pair.basis == "5 test sets, corrected"
    group = pair.a
    assert group.summary(0.95).error == pytest.approx(
        np.sqrt((1 / 5 + 200 / 800) * np.var(list(group.by_test_set().values()), ddof=1))
    )
    # Records that do not say how many images were trained on, as imported ones: as of folds of all images.
    for file in tmp_path.glob("*/manifest.parquet"):
        file.unlink()
    (pair,) = compared(tmp_path).pairs
    assert pair.basis == "5 folds of all images"
    by_fold = list(pair.a.by_test_set().values())
    assert pair.a.summary(0.95).error == pytest.approx(np.sqrt((1 / 5 + 1 / 4) * np.var(by_fold, ddof=1)))


def test_subjects_that_one_record_knows_count_for_both(tmp_path: Path) -> None:
    """Images of a subject are alike: counted one by one they would seem to be more evidence than they are."""
    rng = np.random.default_rng(3)
    subject, error = [f"s{i // 20}" for i in range(200)], 0.5 + rng.normal(0, 0.1, 10).repeat(20)
    widths = []
    for known in (subject, None):
        root = tmp_path / str(known is None)
        for prompt, shift in (("rank", 0.0), ("context", 0.02)):
            for seed in (0, 1):
                directory = made_run(root, f"{prompt}{seed}", {"prompt.name": prompt, "seed": seed})
                worse = error if prompt == "rank" else 0.5 + shift
                of_record = None if prompt == "rank" else known
                with_predictions(directory, RANK, RANK + worse + 0.001 * seed, subject=of_record)
        (pair,) = compared(root).pairs
        assert pair.estimate is not None
        widths.append(pair.estimate.high - pair.estimate.low)
    assert widths[0] > 3 * widths[1]


def test_other_images_are_not_compared(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path, "rank", seed, 0.1)
        directory = made_run(tmp_path, f"o{seed}", {"prompt.name": "context", "seed": seed})
        with_predictions(directory, RANK, RANK + 0.5, first_image=50)
    found = compared(tmp_path)
    (pair,) = found.pairs
    assert pair.estimate is None
    assert pair.basis == "not compared: different test images: 200 and 200, of which 150 are the same"
    assert found.winner is None
    assert any("2 different test sets" in note for note in found.notes)


def test_other_stamps_are_not_compared(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path, "rank", seed, 0.1, protocol__select_on="test")
        make(tmp_path, "context", seed, 0.5)
    found = compared(tmp_path)
    (pair,) = found.pairs
    assert pair.basis == "not compared: rank is selected on test, the other is not"
    assert [group.selected_on_test for group in found.groups] == [True, False]


def test_records_without_predictions_are_compared_over_seeds(tmp_path: Path) -> None:
    a, b = (0.1, 0.2, 0.4), (0.3, 0.5, 0.45)
    for prompt, scores in (("rank", a), ("context", b)):
        for seed, score in enumerate(scores):
            made_run(tmp_path, f"{prompt}{seed}", {"prompt.name": prompt, "seed": seed}, scores={"test/mae": score})
    (pair,) = compared(tmp_path).pairs
    assert pair.basis == "seeds alone, not images"
    assert pair.estimate is not None
    assert pair.estimate.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert not pair.complete
