"""Which of some settings is better, by how much, and whether that may be chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import pandas as pd

from analysis.groups import Group, groups_of
from analysis.holm import holm
from analysis.pairs import Pair, pair_of
from analysis.settings import differing, shown
from ordinalclip.errors import ConfigError
from ordinalclip.repeats import REPEATS


@dataclass(frozen=True)
class Comparison:
    """Groups by one metric, best first, and every pair of them that was asked for.

    Attributes:
        metric: column of the table of runs.
        less: whether less of it is better.
        keys: settings that tell the groups apart.
        groups: best first.
        pairs: of them.
        level: of all intervals.
        notes: what a reader has to know.
        baseline: name of the group that the others were compared with; None: every two were.
    """

    metric: str
    less: bool
    keys: tuple[str, ...]
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    level: float
    notes: tuple[str, ...]
    baseline: str | None = None

    def is_ahead(self, group: Group, other: Group) -> bool:
        """Whether a group is better than another by more than chance explains, all comparisons considered."""
        for pair in self.pairs:
            if {id(pair.a), id(pair.b)} != {id(group), id(other)} or pair.estimate is None:
                continue
            value = pair.estimate.value if pair.a is group else -pair.estimate.value
            return pair.complete and pair.adjusted < 1 - self.level and (value < 0) == self.less
        return False

    @property
    def winner(self) -> Group | None:
        """The group that is ahead of every other one; None where there is none."""
        for group in self.groups[:1]:
            if len(self.groups) > 1 and all(self.is_ahead(group, other) for other in self.groups[1:]):
                return group
        return None


def compare(
    frame: pd.DataFrame,
    by: Sequence[str],
    metric: str,
    *,
    less: bool,
    level: float = 0.95,
    baseline: str | None = None,
) -> Comparison:
    """Groups runs, and compares every two groups, or all with one.

    Args:
        frame: of the runs.
        by: columns that tell the groups apart.
        metric: a column of scores.
        less: whether less of it is better.
        level: of intervals; a difference counts from p < 1 - level, after Holm's correction.
        baseline: name of the group that the others are compared with; None: every two.

    Raises:
        ConfigError: runs of one group differ in more than seed and fold, no run has the metric, there is no such group.
    """
    groups, notes = groups_of(frame, by, metric)
    groups.sort(key=lambda group: float(group.scores.mean()) if less else -float(group.scores.mean()))
    wanted = list(combinations(groups, 2))
    if baseline is not None:
        names = [group.name for group in groups]
        if baseline not in names:
            raise ConfigError("baseline", baseline, "there is no such group", allowed=", ".join(names))
        wanted = [(a, b) if b.name == baseline else (b, a) for a, b in wanted if baseline in (a.name, b.name)]
    pairs = [pair_of(a, b, metric, level) for a, b in wanted]
    p_values = [float("nan") if pair.estimate is None else pair.estimate.p for pair in pairs]
    pairs = [replace(pair, adjusted=p) for pair, p in zip(pairs, holm(p_values), strict=True)]
    notes += _notes(groups, by)
    return Comparison(metric, less, tuple(by), tuple(groups), tuple(pairs), level, tuple(notes), baseline)


def _notes(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    notes = []
    runs = pd.concat([group.runs for group in groups], ignore_index=True)
    families = {key.partition(".")[0] for key in by if "." in key}
    for key in differing(runs, (*REPEATS, *by)):
        if key.partition(".")[0] in families or (key == "lr" and {"trainable", "lr"} & families):
            continue
        values = {group.name: shown(group.runs[key].iloc[0]) for group in groups}
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        notes.append(f"they differ in {key}, too: {told}")
    for column, what in (("weights", "weight files"), ("git", "versions of the code")):
        if len(runs[column].dropna().unique()) > 1:
            notes.append(f"these runs were made with {runs[column].nunique()} {what}: {_first(runs[column])}")
    test_sets = {key: None for group in groups for key in group.test_sets}
    if len(test_sets) > 1 and any(len({*group.test_sets}) < len(test_sets) for group in groups):
        notes.append(f"there are {len(test_sets)} different test sets; means over different images are not comparable")
    return notes


def _first(column: pd.Series) -> str:
    return ", ".join(str(value)[:8] for value in column.dropna().unique()[:4])
