"""Groups of runs that differ in nothing but what repeats them: what a comparison is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.estimate import Estimate, Floats, mean_estimate
from analysis.settings import differing, shown
from analysis.tested import Tested, read_tested
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.repeats import REPEATS


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in nothing but seed and fold.

    Attributes:
        label: the values that it is told by.
        name: the same in a word, such as `rank num_base_ranks=3`.
        runs: those that are finished and have the metric.
        scores: of the runs [n].
        planned: how many runs there are, finished or not.
        tested: of each run; None where its record does not have it.
        test_sets: which images each run was tested on, as a hash.
    """

    label: tuple[str, ...]
    name: str
    runs: pd.DataFrame
    scores: Floats
    planned: int
    tested: tuple[Tested | None, ...]
    test_sets: tuple[str, ...]

    @property
    def selected_on_test(self) -> bool:
        """Whether some run's epoch was chosen by its test scores."""
        return bool((self.runs["selected_on"] == "test").any())

    @cached_property
    def overlap(self) -> float:
        """Test images / training images, mean of the runs; nan where that is not known."""
        known = [len(one.images) / one.num_train for one in self.tested if one is not None and one.num_train]
        return float(np.mean(known)) if known else float("nan")

    def repetition(self, row: int) -> tuple[str, ...]:
        """What a run has that the others repeat with another value: its seeds."""
        return tuple(shown(self.runs[key].iloc[row]) for key in REPEATS if key in self.runs)

    def by_test_set(self) -> dict[str, float]:
        """The score on each test set, mean over seeds."""
        return {key: float(self.scores[np.array(self.test_sets) == key].mean()) for key in sorted({*self.test_sets})}

    def summary(self, level: float) -> Estimate:
        """Mean with Student's t interval over seeds, or over folds, whose training images overlap."""
        sets = self.by_test_set()
        if len(sets) == 1:
            return mean_estimate(self.scores, level)
        overlap = overlap_of_folds(len(sets)) if np.isnan(self.overlap) else self.overlap
        return mean_estimate(np.array(list(sets.values())), level, overlap)


def overlap_of_folds(num_folds: int) -> float:
    """Test / training images where records do not say: 1 / (K - 1), as of K folds of all images."""
    return 1 / (num_folds - 1)


def groups_of(frame: pd.DataFrame, by: Sequence[str], metric: str) -> tuple[list[Group], list[str]]:
    """The groups that some settings tell apart, and a note for each that has no finished run.

    Args:
        frame: of the runs.
        by: columns that tell the groups apart; none: all runs are one group.
        metric: a column of scores.

    Raises:
        ConfigError: runs of one group differ in more than seed and fold, or no run is finished and has the metric.
    """
    done = (frame["state"] == "finished") & (frame[metric].notna() if metric in frame else False)
    if not done.any():
        raise ConfigError("metric", metric, f"none of these {len(frame)} runs is finished and has it")
    groups, notes = [], []
    for _, planned in frame.groupby(list(by), dropna=False, sort=False) if by else [((), frame)]:
        label = tuple(shown(planned[key].iloc[0]) for key in by)
        name = group_name(by, label)
        runs = planned[done[planned.index]].reset_index(drop=True)
        if runs.empty:
            notes.append(f"{name}: none of its {len(planned)} runs is finished and has {metric}")
            continue
        _refuse_mixture(runs, name)
        tested = tuple(_tested(Path(directory)) for directory in runs["directory"])
        sets = tuple(
            f"data {data}" if one is None else one.test_set for one, data in zip(tested, runs["manifest"], strict=True)
        )
        groups.append(Group(label, name, runs, runs[metric].to_numpy(float), len(planned), tested, sets))
    return groups, notes


def group_name(keys: Sequence[str], label: Sequence[str]) -> str:
    """Names of options as they are, other settings with their key; null ones are not told."""
    words = []
    for key, value in zip(keys, label, strict=True):
        if key.endswith(".name"):
            words.append(value)
        elif value != "null":
            words.append(f"{key.rpartition('.')[2]}={value}")
    return " ".join(words) or "all"


def _tested(directory: Path) -> Tested | None:
    try:
        return read_tested(directory)
    except (DataError, OSError, KeyError, ValueError):
        return None


def _refuse_mixture(runs: pd.DataFrame, group: str) -> None:
    """A mean over runs that differ in something that matters would hide it."""
    mixed = differing(runs)
    if not mixed:
        return
    name = mixed[0]
    values = ", ".join(dict.fromkeys(shown(cell) for cell in runs[name]))
    others = f", and in {', '.join(mixed[1:4])}{', …' if len(mixed) > 4 else ''}" if len(mixed) > 1 else ""
    raise ConfigError(
        "by",
        group,
        f"the runs of this group differ in {name} ({values}){others}, which no mean may hide",
        remedy=f"by=…,{name} makes groups of them, {name}=… chooses one value",
    )
