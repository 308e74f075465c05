"""Which settings of runs matter to a comparison, and which of them differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.estimates import Estimate, Floats, mean_estimate
from analysis.frame import setting_columns
from analysis.tested import Tested, read_tested
from ordinalclip.config.identity import REPEATS, cannot_change_results
from ordinalclip.errors import ConfigError, DataError

# How a run was computed, where things lie, what they are called; for data and weights their hashes speak.
_NOT_COMPARED = (
    *(*cannot_change_results(), "trainer", "features.batch_size"),
    *("dataset.root", "dataset.path", "dataset.on_error", "dataset.licence", "dataset.citation", "dataset.photos"),
    *("backbone.weights", "backbone.tokenizer", "protocol.leakage"),
)
_TRAINER_COMPARED = ("precision", "gradient_clip_val", "accumulate_grad_batches", "limit_batches")


def compared(frame: pd.DataFrame) -> list[str]:
    """The settings that can change a result, names of groups' options first: those are what people call things by."""
    names = [
        name
        for name in setting_columns(frame)
        if name.removeprefix("trainer.") in _TRAINER_COMPARED
        or not any(name == no or name.startswith(f"{no}.") for no in _NOT_COMPARED)
    ]
    return sorted(names, key=lambda name: (not name.endswith(".name"), "." in name))


def differing(frame: pd.DataFrame, without: Sequence[str] = REPEATS) -> list[str]:
    """The settings whose values differ among these runs; those that follow from another that differs are left out.

    Args:
        frame: of the runs.
        without: settings that may differ.
    """
    varied = [name for name in compared(frame) if name not in without and _varies(frame[name])]
    groups = {name.partition(".")[0] for name in varied if name.endswith((".name", "._target_"))}
    kept = []
    for name in varied:
        group, _, key = name.partition(".")
        follows = (
            # another option of a group has other keys; `_target_` is said by the name
            (group in groups and key not in ("name", "_target_") and _is_missing_somewhere(frame[name]))
            or (key == "_target_" and f"{group}.name" in varied)
            or (group == "trainable" and "lr" in frame and _varies(frame["lr"]) and _is_lr(frame, name))
        )
        if not follows:
            kept.append(name)
    return kept


def _varies(column: pd.Series) -> bool:
    return len(column.drop_duplicates()) > 1


def _is_missing_somewhere(column: pd.Series) -> bool:
    return bool(column.isna().any())


def _is_lr(frame: pd.DataFrame, name: str) -> bool:
    """Whether a part's rate is `lr`, or frozen, in all of the runs alike."""
    rate = frame[name]
    return bool((rate.isna().all()) or (rate == frame["lr"]).all())


def minimal(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of the names, in their order, that split the runs further than the ones before them."""
    kept: list[str] = []
    parts = pd.Series(0, frame.index)
    for name in names:
        finer = frame.groupby([parts, frame[name]], dropna=False, sort=False).ngroup()
        if finer.nunique() > parts.nunique():
            kept.append(name)
            parts = finer
    return kept


def shown(value: object) -> str:
    """A setting as it is typed: null, true, 0.001."""
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


# MERGED: """Groups of runs that differ in nothing but what repeats them: what a comparison is of."""


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
