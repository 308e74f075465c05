"""Holm's correction of p-values for the number of comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.groups import Group, differing, groups_of, shown
from analysis.pairs import Pair, pair_of
from analysis.sheets import EMPTY, Cell, Sheet
from ordinalclip.config.identity import REPEATS
from ordinalclip.errors import ConfigError
from ordinalclip.report.tables import ON_TEST


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given [Holm, A simple sequentially rejective multiple test procedure, 1979].

    The smallest of m is multiplied by m, the next by m - 1, …; none may be smaller than one before it, none over 1.
    Whatever the dependence between the tests, rejecting those that are at most α makes any false rejection at most
    α likely. A nan was not tested: it stays nan and is not counted.
    """
    p = np.asarray(p_values, dtype=float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return [float(value) for value in adjusted]


# MERGED: """Which of some settings is better, by how much, and whether that may be chance."""


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


# MERGED: """A comparison as tables: the groups' scores, and how far each is ahead of the others."""


def sheets_of(comparison: Comparison) -> list[Sheet]:
    """A comparison as two tables: the groups' scores, and their differences where there are two groups or more."""
    scores = _scores_sheet(comparison)
    return [scores, _pairs_sheet(comparison)] if comparison.pairs else [scores]


def _scores_sheet(comparison: Comparison) -> Sheet:
    winner = comparison.winner
    stamped = any(group.selected_on_test for group in comparison.groups)
    percent = f"{100 * comparison.level:g} %"
    rows = []
    for group in comparison.groups:
        bold = group is winner
        found, std = group.summary(comparison.level), _std(group)
        numbers = {"": found.value, "std": std, "low": found.low, "high": found.high}
        count = f"{len(group.scores)}/{group.planned}"
        rows.append(
            [
                *(Cell(value, bold=bold) for value in group.label or ("all",)),
                *([Cell("selected on test" if group.selected_on_test else "")] if stamped else []),
                Cell(count, {"": len(group.scores), "planned": group.planned}),
                Cell(spread(found.value, std), {key: numbers[key] for key in ("", "std")}, bold=bold),
                Cell(between(found.low, found.high), {key: numbers[key] for key in ("low", "high")}),
            ]
        )
    better = "less is better" if comparison.less else "more is better"
    headings = [*(comparison.keys or ("runs of",)), *(["stamp"] if stamped else [])]
    return Sheet(
        name=_word(comparison.metric),
        title=f"{comparison.metric} ({better}): mean ± standard deviation over seeds and folds",
        headings=[*headings, "runs", comparison.metric, f"{percent} interval"],
        rows=rows,
        notes=[
            *([ON_TEST] if stamped else []),
            *comparison.notes,
            *([verdict(comparison)] if comparison.pairs else []),
        ],
        numeric=3,
    )


def _pairs_sheet(comparison: Comparison) -> Sheet:
    rows = []
    for pair in comparison.pairs:
        ahead = comparison.is_ahead(pair.a, pair.b) or comparison.is_ahead(pair.b, pair.a)
        found = pair.estimate
        cells = [Cell(EMPTY), Cell(EMPTY), Cell(EMPTY), Cell(EMPTY)]
        if found is not None:
            cells = [
                Cell(signed(found.value), {"": found.value}, bold=ahead),
                Cell(between(found.low, found.high, signed), {"low": found.low, "high": found.high}),
                Cell(chance(found.p), {"": found.p}),
                Cell(chance(pair.adjusted), {"": pair.adjusted}, bold=ahead),
            ]
        rows.append([Cell(pair.a.name), Cell(pair.b.name), Cell(pair.how), *cells])
    stamped = any(group.selected_on_test for group in comparison.groups)
    interval = f"{100 * comparison.level:g} % interval"
    on = " on the same test images" if comparison.metric.startswith("test/") else ""
    return Sheet(
        name=f"{_word(comparison.metric)}-differences",
        title=f"{comparison.metric}: differences of the first from the second{on}",
        headings=["first", "second", "interval counts", "difference", interval, "p", "p, Holm"],
        rows=rows,
        notes=[ON_TEST] if stamped else [],
        numeric=4,
    )


def verdict(comparison: Comparison) -> str:
    """One sentence: what is ahead of what, or that nothing is."""
    best, *others = comparison.groups
    if not others:
        return ""
    if comparison.winner is not None:
        return f"{best.name} is ahead of all others"
    if comparison.baseline is not None:
        return _verdict_on(comparison)
    not_behind = [other.name for other in others if not comparison.is_ahead(best, other)]
    ahead = [other.name for other in others if comparison.is_ahead(best, other)]
    told = f"{best.name} has the best mean, but is not ahead of {', '.join(not_behind)} by more than chance explains"
    return f"{told}; it is ahead of {', '.join(ahead)}" if ahead else told


def _verdict_on(comparison: Comparison) -> str:
    """What is ahead of the baseline and what is behind it; the others were not compared with each other."""
    base = next(group for group in comparison.groups if group.name == comparison.baseline)
    others = [group for group in comparison.groups if group is not base]
    ahead = ", ".join(group.name for group in others if comparison.is_ahead(group, base))
    behind = ", ".join(group.name for group in others if comparison.is_ahead(base, group))
    told = [f"{ahead}: ahead of {base.name}"] if ahead else []
    told += [f"{behind}: behind {base.name}"] if behind else []
    return "; ".join(told) or f"nothing is ahead of {base.name} or behind it by more than chance explains"


def spread(value: float, std: float) -> str:
    """Mean ± standard deviation; the mean alone where there is one run."""
    return number(value) if np.isnan(std) else f"{number(value)} ± {number(std)}"


def between(low: float, high: float, form: object = None) -> str:
    """An interval, or what stands for none."""
    shape = form if callable(form) else number
    return EMPTY if np.isnan(low) else f"{shape(low)} … {shape(high)}"


def number(value: float) -> str:
    """A score with three decimals, or what stands for none."""
    return EMPTY if np.isnan(value) else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference with its sign."""
    return EMPTY if np.isnan(value) else f"{value:+.3f}"


def chance(p: float) -> str:
    """A p-value with two digits."""
    if np.isnan(p):
        return EMPTY
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.0995 else f"{p:.2f}"


def _std(group: Group) -> float:
    return float(np.std(group.scores, ddof=1)) if len(group.scores) > 1 else float("nan")


def _word(metric: str) -> str:
    return metric.replace("/", "-")
