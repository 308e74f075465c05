"""Comparison of groups of runs by a metric: pairwise differences with intervals, Holm's correction, and tables.

A pair of groups is compared on the same test images. With several common test sets (folds), the interval is that of the
corrected resampled t-test; with one, it includes the variance over seeds and over test subjects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.estimates import (
    NUM_DRAWS,
    Estimate,
    Floats,
    VarianceComponent,
    bootstrap_variance,
    difference_estimate,
    holm,
    image_variance,
    mean_estimate,
    seed_variance,
)
from analysis.groups import Group, differing_settings, format_setting, groups_of, overlap_of_folds
from analysis.image_results import ImageResults
from analysis.sheets import EMPTY, Cell, Sheet, format_interval, format_p, format_signed, format_spread
from ordinalclip.config.identity import REPEAT_KEYS
from ordinalclip.errors import ConfigError
from ordinalclip.report.tables import ON_TEST
from ordinalclip.scoring.intervals import bootstrap_scores, group_index


@dataclass(frozen=True)
class Pair:
    """The difference between two groups.

    Attributes:
        a: the first group.
        b: the second group.
        estimate: of a - b; None if they are not comparable.
        basis: which variance the interval includes, or why there is none.
        complete: whether the interval includes all sources of variance, so that the difference may be significant.
        adjusted: p-value after Holm's correction.
    """

    a: Group
    b: Group
    estimate: Estimate | None
    basis: str
    complete: bool
    adjusted: float = float("nan")


@dataclass(frozen=True)
class Comparison:
    """Groups by one metric, best first, and their pairwise differences.

    Attributes:
        metric: column of the table of runs.
        less: whether smaller values are better.
        keys: settings that distinguish the groups.
        groups: best first.
        pairs: of the groups.
        level: of all intervals.
        notes: remarks for the reader.
        baseline: name of the group that the others are compared with; None = all pairs.
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
        """Whether a group is significantly better than another, after correction for all comparisons."""
        for pair in self.pairs:
            if {id(pair.a), id(pair.b)} != {id(group), id(other)} or pair.estimate is None:
                continue
            value = pair.estimate.value if pair.a is group else -pair.estimate.value
            return pair.complete and pair.adjusted < 1 - self.level and (value < 0) == self.less
        return False

    @property
    def winner(self) -> Group | None:
        """The group that is ahead of all others; None if there is none."""
        best, *others = self.groups
        return best if others and all(self.is_ahead(best, other) for other in others) else None


def compare(
    frame: pd.DataFrame,
    by: Sequence[str],
    metric: str,
    *,
    less: bool,
    level: float = 0.95,
    baseline: str | None = None,
) -> Comparison:
    """Groups runs and compares all pairs of groups, or all groups with a baseline.

    Args:
        frame: table of runs.
        by: columns that distinguish the groups.
        metric: a column of scores.
        less: whether smaller values are better.
        level: of intervals; a difference is significant if p < 1 - level after Holm's correction.
        baseline: name of the group that the others are compared with; None = all pairs.

    Raises:
        ConfigError: if runs of one group differ in more than seed and fold, no run has the metric, or the baseline
            does not exist.
    """
    groups, notes = groups_of(frame, by, metric)
    groups.sort(key=lambda group: float(group.scores.mean()) if less else -float(group.scores.mean()))
    wanted = list(combinations(groups, 2))
    if baseline is not None:
        names = [group.name for group in groups]
        if baseline not in names:
            raise ConfigError("baseline", baseline, "there is no such group", allowed=", ".join(names))
        wanted = [(a, b) if b.name == baseline else (b, a) for a, b in wanted if baseline in (a.name, b.name)]
    pairs = [compare_pair(a, b, metric, level) for a, b in wanted]
    p_values = [float("nan") if pair.estimate is None else pair.estimate.p for pair in pairs]
    pairs = [replace(pair, adjusted=p) for pair, p in zip(pairs, holm(p_values), strict=True)]
    notes += _comparability_notes(groups, by)
    return Comparison(metric, less, tuple(by), tuple(groups), tuple(pairs), level, tuple(notes), baseline)


def _comparability_notes(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Other differences between the groups: settings, weights, code versions, test sets."""
    notes = []
    runs = pd.concat([group.runs for group in groups], ignore_index=True)
    families = {key.partition(".")[0] for key in by if "." in key}
    for key in differing_settings(runs, (*REPEAT_KEYS, *by)):
        if key.partition(".")[0] in families or (key == "lr" and {"trainable", "lr"} & families):
            continue
        values = {group.name: format_setting(group.runs[key].iloc[0]) for group in groups}
        listed = ", ".join(f"{name} {value}" for name, value in values.items())
        notes.append(f"they differ in {key}, too: {listed}")
    for column, what in (("weights", "weight files"), ("git", "versions of the code")):
        values_found = runs[column].dropna().unique()
        if len(values_found) > 1:
            listed = ", ".join(str(value)[:8] for value in values_found[:4])
            notes.append(f"these runs were made with {len(values_found)} {what}: {listed}")
    test_sets = {key: None for group in groups for key in group.test_sets}
    if len(test_sets) > 1 and any(len({*group.test_sets}) < len(test_sets) for group in groups):
        notes.append(f"there are {len(test_sets)} different test sets; means over different images are not comparable")
    return notes


def compare_pair(a: Group, b: Group, metric: str, level: float) -> Pair:
    """Compares two groups on their common test sets: over test sets, or over seeds and images if there is only one.

    Args:
        a: the first group.
        b: the second group.
        metric: a column of scores.
        level: of the interval.
    """
    if a.selected_on_test != b.selected_on_test:
        one = a.name if a.selected_on_test else b.name
        return Pair(a, b, None, f"not compared: {one} is selected on test, the other is not", False)
    sets_a, sets_b = a.by_test_set(), b.by_test_set()
    common = [key for key in sets_a if key in sets_b]
    if not common:
        return Pair(a, b, None, f"not compared: {_test_set_difference(a, b)}", False)
    left_out = len({*sets_a, *sets_b}) - len(common)
    without = f"; {left_out} test sets that only one has are left out" if left_out else ""
    if len(common) > 1:  # the corrected resampled t-test [Nadeau and Bengio, 2003]
        differences = np.array([sets_a[key] - sets_b[key] for key in common])
        overlap = float(np.nanmean([a.overlap, b.overlap])) if not np.isnan([a.overlap, b.overlap]).all() else np.nan
        if np.isnan(overlap):
            estimate = mean_estimate(differences, level, overlap_of_folds(len(common)))
            return Pair(a, b, estimate, f"{len(common)} folds of all images{without}", True)
        basis = f"{len(common)} test sets, corrected{without}"
        return Pair(a, b, mean_estimate(differences, level, overlap), basis, True)
    return _compare_on_test_set(a, b, common[0], metric, level, without)


def _compare_on_test_set(a: Group, b: Group, key: str, metric: str, level: float, without: str) -> Pair:
    rows = [[i for i, one in enumerate(group.test_sets) if one == key] for group in (a, b)]
    seeds = [[group.repetition(i) for i in index] for group, index in zip((a, b), rows, strict=True)]
    order = [sorted(index, key=group.repetition) for group, index in zip((a, b), rows, strict=True)]
    scores_a, scores_b = a.scores[order[0]], b.scores[order[1]]
    paired = sorted(seeds[0]) == sorted(seeds[1]) and len({*seeds[0]}) == len(seeds[0])
    repeated = min(len(scores_a), len(scores_b)) > 1  # the variance over seeds of a single run is not known
    training = seed_variance(scores_a, scores_b, paired=paired) if repeated else []
    images = _image_component([a.results[i] for i in rows[0]], [b.results[i] for i in rows[1]], metric)
    has_images = metric.partition("/")[0] in ("test", "val")
    estimate = difference_estimate(float(scores_a.mean() - scores_b.mean()), [*training, *images], level)
    complete = repeated and (bool(images) or not has_images)
    return Pair(a, b, estimate, _describe_basis(repeated, bool(images), has_images) + without, complete)


def _describe_basis(repeated: bool, images: bool, has_images: bool) -> str:
    if repeated:
        return "seeds and images" if images else "seeds alone, not images" if has_images else "seeds"
    return "images alone: a single run" if images else "nothing: a single run"


def _image_component(
    a: Sequence[ImageResults | None], b: Sequence[ImageResults | None], metric: str
) -> list[VarianceComponent]:
    """Variance by the choice of test subjects; empty if the records lack results per image."""
    split, _, name = metric.partition("/")
    known_a, known_b = [one for one in a if one is not None], [one for one in b if one is not None]
    if split != "test" or len(known_a) < len(a) or len(known_b) < len(b):
        return []
    # Equal test sets have equal subjects, but records of imported runs lack them.
    subject = next((one.subject for one in [*known_a, *known_b] if one.subject is not None), None)
    num_images = len(known_a[0].images)
    scores = [[one.scores(name) for one in known] for known in (known_a, known_b)]
    if not any(one is None for group in scores for one in group):
        mean_a, mean_b = (np.mean(group, axis=0) for group in scores)  # type: ignore[arg-type]
        return image_variance(mean_a - mean_b, subject)
    weighted = [[one.weighted(name) for one in known] for known in (known_a, known_b)]
    if any(one is None for group in weighted for one in group):
        return []

    def score(weights: Floats) -> float:
        means = [np.mean([one(weights) for one in group if one is not None]) for group in weighted]
        return float(means[0] - means[1])

    draws = bootstrap_scores(score, subject, num_images, draws=NUM_DRAWS // 4)
    return bootstrap_variance(draws, group_index(subject, num_images)[1])


def _test_set_difference(a: Group, b: Group) -> str:
    one, other = a.results[0], b.results[0]
    if one is None or other is None:
        lacking = a.name if one is None else b.name
        return f"the record of {lacking} lacks its predictions, and the data are not the same"
    shared = len(np.intersect1d(one.images, other.images))
    if shared == len(one.images) == len(other.images):
        return "the same test images have other ranks"
    return f"different test images: {len(one.images):,} and {len(other.images):,}, of which {shared:,} are the same"


def sheets_of(comparison: Comparison) -> list[Sheet]:
    """Returns two tables: the scores of the groups, and their differences if there are two groups or more."""
    scores = _scores_sheet(comparison)
    return [scores, _pairs_sheet(comparison)] if comparison.pairs else [scores]


def _scores_sheet(comparison: Comparison) -> Sheet:
    winner = comparison.winner
    stamped = any(group.selected_on_test for group in comparison.groups)
    percent = f"{100 * comparison.level:g} %"
    rows = []
    for group in comparison.groups:
        bold = group is winner
        mean = group.summary(comparison.level)
        std = float(np.std(group.scores, ddof=1)) if len(group.scores) > 1 else float("nan")
        count = f"{len(group.scores)}/{group.planned}"
        rows.append(
            [
                *(Cell(value, bold=bold) for value in group.label or ("all",)),
                *([Cell("selected on test" if group.selected_on_test else "")] if stamped else []),
                Cell(count, {"": len(group.scores), "planned": group.planned}),
                Cell(format_spread(mean.value, std), {"": mean.value, "std": std}, bold=bold),
                Cell(format_interval(mean.low, mean.high), {"low": mean.low, "high": mean.high}),
            ]
        )
    better = "less is better" if comparison.less else "more is better"
    headings = [*(comparison.keys or ("runs of",)), *(["stamp"] if stamped else [])]
    return Sheet(
        name=comparison.metric.replace("/", "-"),
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
                Cell(format_signed(found.value), {"": found.value}, bold=ahead),
                Cell(format_interval(found.low, found.high, format_signed), {"low": found.low, "high": found.high}),
                Cell(format_p(found.p), {"": found.p}),
                Cell(format_p(pair.adjusted), {"": pair.adjusted}, bold=ahead),
            ]
        rows.append([Cell(pair.a.name), Cell(pair.b.name), Cell(pair.basis), *cells])
    stamped = any(group.selected_on_test for group in comparison.groups)
    interval = f"{100 * comparison.level:g} % interval"
    on = " on the same test images" if comparison.metric.startswith("test/") else ""
    return Sheet(
        name=f"{comparison.metric.replace('/', '-')}-differences",
        title=f"{comparison.metric}: differences of the first from the second{on}",
        headings=["first", "second", "interval counts", "difference", interval, "p", "p, Holm"],
        rows=rows,
        notes=[ON_TEST] if stamped else [],
        numeric=4,
    )


def verdict(comparison: Comparison) -> str:
    """Returns one sentence: which groups are ahead of which."""
    best, *others = comparison.groups
    if not others:
        return ""
    if comparison.winner is not None:
        return f"{best.name} is ahead of all others"
    if comparison.baseline is not None:
        return _baseline_verdict(comparison)
    not_behind = [other.name for other in others if not comparison.is_ahead(best, other)]
    ahead = [other.name for other in others if comparison.is_ahead(best, other)]
    text = f"{best.name} has the best mean, but is not ahead of {', '.join(not_behind)} by more than chance explains"
    return f"{text}; it is ahead of {', '.join(ahead)}" if ahead else text


def _baseline_verdict(comparison: Comparison) -> str:
    base = next(group for group in comparison.groups if group.name == comparison.baseline)
    others = [group for group in comparison.groups if group is not base]
    ahead = ", ".join(group.name for group in others if comparison.is_ahead(group, base))
    behind = ", ".join(group.name for group in others if comparison.is_ahead(base, group))
    parts = [f"{ahead}: ahead of {base.name}"] if ahead else []
    parts += [f"{behind}: behind {base.name}"] if behind else []
    return "; ".join(parts) or f"nothing is ahead of {base.name} or behind it by more than chance explains"
