"""Groups of runs that differ in seed and fold only, and the settings that distinguish groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.estimates import Estimate, Floats, mean_estimate
from analysis.frame import setting_columns
from analysis.image_results import ImageResults, read_image_results
from ordinalclip.config.identity import REPEAT_KEYS, cannot_change_results
from ordinalclip.errors import ConfigError, DataError

# Execution, paths and names. Data and weights are compared by hash.
_IGNORED_SETTINGS = (
    *(*cannot_change_results(), "trainer", "features.batch_size"),
    *("dataset.root", "dataset.path", "dataset.on_error", "dataset.licence", "dataset.citation", "dataset.photos"),
    *("backbone.weights", "backbone.tokenizer", "protocol.leakage"),
)
_COMPARED_TRAINER_SETTINGS = ("precision", "gradient_clip_val", "accumulate_grad_batches", "limit_batches")


def compared_settings(frame: pd.DataFrame) -> list[str]:
    """Returns the settings that can change a result, names of config group options first."""
    names = [
        name
        for name in setting_columns(frame)
        if name.removeprefix("trainer.") in _COMPARED_TRAINER_SETTINGS
        or not any(name == ignored or name.startswith(f"{ignored}.") for ignored in _IGNORED_SETTINGS)
    ]
    return sorted(names, key=lambda name: (not name.endswith(".name"), "." in name))


def differing_settings(frame: pd.DataFrame, without: Sequence[str] = REPEAT_KEYS) -> list[str]:
    """Returns the settings whose values differ, without those that are determined by another one that differs.

    Args:
        frame: table of runs.
        without: settings to leave out.
    """
    varied = [name for name in compared_settings(frame) if name not in without and _varies(frame[name])]
    groups = {name.partition(".")[0] for name in varied if name.endswith((".name", "._target_"))}
    kept = []
    for name in varied:
        group, _, key = name.partition(".")
        is_determined = (
            # Options of a group have different keys, and a name determines `_target_`.
            (group in groups and key not in ("name", "_target_") and bool(frame[name].isna().any()))
            or (key == "_target_" and f"{group}.name" in varied)
            or (group == "trainable" and "lr" in frame and _varies(frame["lr"]) and _follows_lr(frame, name))
        )
        if not is_determined:
            kept.append(name)
    return kept


def _varies(column: pd.Series) -> bool:
    return len(column.drop_duplicates()) > 1


def _follows_lr(frame: pd.DataFrame, name: str) -> bool:
    """Whether the learning rate of a part is `lr` in all runs, or null in all."""
    rate = frame[name]
    return bool((rate.isna().all()) or (rate == frame["lr"]).all())


def minimal_keys(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Returns the names that split the runs further than the names before them."""
    kept: list[str] = []
    parts = pd.Series(0, frame.index)
    for name in names:
        finer = frame.groupby([parts, frame[name]], dropna=False, sort=False).ngroup()
        if finer.nunique() > parts.nunique():
            kept.append(name)
            parts = finer
    return kept


def format_setting(value: object) -> str:
    """Formats a setting as typed on a command line: null, true, 0.001."""
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in seed and fold only.

    Attributes:
        label: values of the settings that distinguish the groups.
        name: the same as text, such as `rank num_base_ranks=3`.
        runs: the finished runs with the metric.
        scores: of these runs [n].
        planned: number of runs, finished or not.
        results: of each run, per image; None if its record lacks them.
        test_sets: hash of each run's test set.
    """

    label: tuple[str, ...]
    name: str
    runs: pd.DataFrame
    scores: Floats
    planned: int
    results: tuple[ImageResults | None, ...]
    test_sets: tuple[str, ...]

    @property
    def selected_on_test(self) -> bool:
        """Whether the epoch of any run was selected by test scores."""
        return bool((self.runs["selected_on"] == "test").any())

    @cached_property
    def overlap(self) -> float:
        """Test images / training images, mean over runs; nan if not known."""
        known = [len(one.images) / one.num_train for one in self.results if one is not None and one.num_train]
        return float(np.mean(known)) if known else float("nan")

    def repetition(self, row: int) -> tuple[str, ...]:
        """The seeds of a run, as text."""
        return tuple(format_setting(self.runs[key].iloc[row]) for key in REPEAT_KEYS if key in self.runs)

    def by_test_set(self) -> dict[str, float]:
        """Test set → score, mean over seeds."""
        return {key: float(self.scores[np.array(self.test_sets) == key].mean()) for key in sorted({*self.test_sets})}

    def summary(self, level: float) -> Estimate:
        """Mean with Student's t interval over seeds, or over folds with correction for shared training images."""
        sets = self.by_test_set()
        if len(sets) == 1:
            return mean_estimate(self.scores, level)
        overlap = overlap_of_folds(len(sets)) if np.isnan(self.overlap) else self.overlap
        return mean_estimate(np.array(list(sets.values())), level, overlap)


def overlap_of_folds(num_folds: int) -> float:
    """Test images / training images of K folds of all images: 1 / (K - 1)."""
    return 1 / (num_folds - 1)


def groups_of(frame: pd.DataFrame, by: Sequence[str], metric: str) -> tuple[list[Group], list[str]]:
    """Groups runs by settings; returns the groups, and a note for each group without finished runs.

    Args:
        frame: table of runs.
        by: columns that distinguish the groups; if empty, all runs are one group.
        metric: a column of scores.

    Raises:
        ConfigError: if runs of one group differ in more than seed and fold, or no finished run has the metric.
    """
    done = (frame["state"] == "finished") & (frame[metric].notna() if metric in frame else False)
    if not done.any():
        raise ConfigError("metric", metric, f"none of these {len(frame)} runs is finished and has it")
    groups, notes = [], []
    for _, planned in frame.groupby(list(by), dropna=False, sort=False) if by else [((), frame)]:
        label = tuple(_format_label(key, planned[key].iloc[0]) for key in by)
        name = group_name(by, label)
        runs = planned[done[planned.index]].reset_index(drop=True)
        if runs.empty:
            notes.append(f"{name}: none of its {len(planned)} runs is finished and has {metric}")
            continue
        _check_uniform(runs, name)
        results = tuple(_read_results(Path(directory)) for directory in runs["directory"])
        sets = tuple(
            f"data {data}" if one is None else one.test_set for one, data in zip(results, runs["manifest"], strict=True)
        )
        groups.append(Group(label, name, runs, runs[metric].to_numpy(float), len(planned), results, sets))
    return groups, notes


def _format_label(key: str, value: object) -> str:
    """Formats a setting; of a `_target_` the name of its class, as in `CrossEntropy`."""
    text = format_setting(value)
    return text.rpartition(".")[2] if key.endswith("._target_") else text


def group_name(keys: Sequence[str], label: Sequence[str]) -> str:
    """Returns the name of a group: names of options and classes, and other settings with their key unless null."""
    words = []
    for key, value in zip(keys, label, strict=True):
        if key.endswith((".name", "._target_")):
            words.append(value)
        elif value != "null":
            words.append(f"{key.rpartition('.')[2]}={value}")
    return " ".join(words) or "all"


def _read_results(directory: Path) -> ImageResults | None:
    try:
        return read_image_results(directory)
    except (DataError, OSError, KeyError, ValueError):
        return None


def _check_uniform(runs: pd.DataFrame, group: str) -> None:
    """Raises ConfigError if runs of a group differ in a setting that can change results."""
    mixed = differing_settings(runs)
    if not mixed:
        return
    name = mixed[0]
    values = ", ".join(dict.fromkeys(format_setting(cell) for cell in runs[name]))
    others = f", and in {', '.join(mixed[1:4])}{', …' if len(mixed) > 4 else ''}" if len(mixed) > 1 else ""
    raise ConfigError(
        "by",
        group,
        f"the runs of this group differ in {name} ({values}){others}, which no mean may hide",
        remedy=f"by=…,{name} makes groups of them, {name}=… chooses one value",
    )
