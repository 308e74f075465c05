from pathlib import Path

import numpy as np
import pytest

from analysis.compare_sheets import sheets_of
from analysis.holm import holm
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
