from pathlib import Path

import numpy as np
import pytest

from analysis.comparison import holm, sheets_of
from ordinalclip.errors import ConfigError
from tests.analysis.made_errors import compared, make
from tests.analysis.made_runs import made_run, with_predictions


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


def test_single_runs_are_never_ahead(tmp_path: Path) -> None:
    make(tmp_path, "rank", 0, 0.1 + 0.01 * np.arange(200) / 200)
    make(tmp_path, "context", 0, 0.9)
    found = compared(tmp_path)
    (pair,) = found.pairs
    assert pair.how == "images alone: a single run"
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
@pytest.mark.parametrize(("of_subjects", "of_seeds"), [(0.3, 0.02), (0.02, 0.3)])
def test_equal_methods_are_seldom_ahead(tmp_path: Path, of_subjects: float, of_seeds: float) -> None:
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
                error = 1 + method + rng.normal(0, of_seeds) + rng.normal(0, 0.05, 120)
                directory = made_run(root, f"{prompt}{seed}", {"prompt.name": prompt, "seed": seed})
                with_predictions(directory, rank, rank + error.clip(0, 2), subject=subject)
        winners.append(compared(root).winner is not None)
    assert sum(winners) <= 1
