"""Which of some settings is better, by how much, and whether that may be chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.difference import DRAWS, Source, difference, of_draws, of_images, of_seeds, over_test_sets
from analysis.estimate import Estimate, Floats, mean_estimate
from analysis.holm import holm
from analysis.settings import REPEATS, differing, shown
from analysis.tested import Tested, read_tested
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.metrics.bootstrap import bootstrap_scores, group_index


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
        if len(sets) == 1 or np.isnan(self.overlap):
            return mean_estimate(self.scores, level)
        return mean_estimate(np.array(list(sets.values())), level, self.overlap)


@dataclass(frozen=True)
class Pair:
    """Two groups beside each other.

    Attributes:
        a: the first.
        b: the second.
        estimate: of a - b; None where they cannot be compared.
        how: what chance the interval counts, or why there is none.
        complete: the interval counts all chance that there is, so that a difference may be believed.
        adjusted: p-value corrected for the number of comparisons.
    """

    a: Group
    b: Group
    estimate: Estimate | None
    how: str
    complete: bool
    adjusted: float = float("nan")


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
    """

    metric: str
    less: bool
    keys: tuple[str, ...]
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    level: float
    notes: tuple[str, ...]

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
    groups, notes = _groups(frame, by, metric)
    groups.sort(key=lambda group: float(group.scores.mean()) if less else -float(group.scores.mean()))
    wanted = list(combinations(groups, 2))
    if baseline is not None:
        names = [group.name for group in groups]
        if baseline not in names:
            raise ConfigError("baseline", baseline, "there is no such group", allowed=", ".join(names))
        wanted = [(a, b) if b.name == baseline else (b, a) for a, b in wanted if baseline in (a.name, b.name)]
    pairs = [_pair(a, b, metric, level) for a, b in wanted]
    p_values = [float("nan") if pair.estimate is None else pair.estimate.p for pair in pairs]
    pairs = [
        Pair(pair.a, pair.b, pair.estimate, pair.how, pair.complete, p)
        for pair, p in zip(pairs, holm(p_values), strict=True)
    ]
    return Comparison(metric, less, tuple(by), tuple(groups), tuple(pairs), level, (*notes, *_notes(groups, by)))


def _groups(frame: pd.DataFrame, by: Sequence[str], metric: str) -> tuple[list[Group], list[str]]:
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


def _pair(a: Group, b: Group, metric: str, level: float) -> Pair:
    if a.selected_on_test != b.selected_on_test:
        one = a.name if a.selected_on_test else b.name
        return Pair(a, b, None, f"not compared: {one} is selected on test, the other is not", False)
    sets_a, sets_b = a.by_test_set(), b.by_test_set()
    common = [key for key in sets_a if key in sets_b]
    if not common:
        return Pair(a, b, None, f"not compared: {_other_images(a, b)}", False)
    left_out = len({*sets_a, *sets_b}) - len(common)
    without = f"; {left_out} test sets that only one has are left out" if left_out else ""
    if len(common) > 1:
        differences = np.array([sets_a[key] - sets_b[key] for key in common])
        overlap = float(np.nanmean([a.overlap, b.overlap])) if not np.isnan([a.overlap, b.overlap]).all() else np.nan
        if np.isnan(overlap):
            estimate = over_test_sets(differences, 1 / max(len(common) - 1, 1), level)
            return Pair(a, b, estimate, f"{len(common)} folds of all images{without}", True)
        how = f"{len(common)} test sets, corrected{without}"
        return Pair(a, b, over_test_sets(differences, overlap, level), how, True)
    return _on_one_test_set(a, b, common[0], metric, level, without)


def _on_one_test_set(a: Group, b: Group, key: str, metric: str, level: float, without: str) -> Pair:
    rows = [[i for i, one in enumerate(group.test_sets) if one == key] for group in (a, b)]
    seeds = [[group.repetition(i) for i in index] for group, index in zip((a, b), rows, strict=True)]
    order = [sorted(index, key=group.repetition) for group, index in zip((a, b), rows, strict=True)]
    scores_a, scores_b = a.scores[order[0]], b.scores[order[1]]
    paired = sorted(seeds[0]) == sorted(seeds[1]) and len({*seeds[0]}) == len(seeds[0])
    repeated = min(len(scores_a), len(scores_b)) > 1
    seeds_only = of_seeds(scores_a, scores_b, paired=paired) if repeated else []  # one run's chance is not known
    images = _image_source([a.tested[i] for i in rows[0]], [b.tested[i] for i in rows[1]], metric)
    has_images = metric.partition("/")[0] in ("test", "val")
    estimate = difference(float(scores_a.mean() - scores_b.mean()), [*seeds_only, *images], level)
    complete = repeated and (bool(images) or not has_images)
    return Pair(a, b, estimate, _counted(repeated, bool(images), has_images) + without, complete)


def _counted(repeated: bool, images: bool, has_images: bool) -> str:
    """What an interval counts, and what not."""
    if repeated:
        return "seeds and images" if images else "seeds alone, not images" if has_images else "seeds"
    return "images alone: a single run" if images else "nothing: a single run"


def _image_source(a: Sequence[Tested | None], b: Sequence[Tested | None], metric: str) -> list[Source]:
    """Chance in the choice of test subjects, where the records say how each image did."""
    split, _, name = metric.partition("/")
    known_a, known_b = [one for one in a if one is not None], [one for one in b if one is not None]
    if split != "test" or len(known_a) < len(a) or len(known_b) < len(b):
        return []
    subject, num_images = known_a[0].subject, len(known_a[0].images)
    scores = [[one.scores(name) for one in known] for known in (known_a, known_b)]
    if not any(one is None for group in scores for one in group):
        mean_a, mean_b = (np.mean(group, axis=0) for group in scores)  # type: ignore[arg-type]
        return of_images(mean_a - mean_b, subject)
    weighted = [[one.weighted(name) for one in known] for known in (known_a, known_b)]
    if any(one is None for group in weighted for one in group):
        return []

    def score(weights: Floats) -> float:
        means = [np.mean([one(weights) for one in group if one is not None]) for group in weighted]
        return float(means[0] - means[1])

    draws = bootstrap_scores(score, subject, num_images, draws=DRAWS // 4)
    return of_draws(draws, group_index(subject, num_images)[1])


def _other_images(a: Group, b: Group) -> str:
    one, other = a.tested[0], b.tested[0]
    if one is None or other is None:
        lacking = a.name if one is None else b.name
        return f"the record of {lacking} lacks its predictions, and the data are not the same"
    shared = len(np.intersect1d(one.images, other.images))
    same_images = shared == len(one.images) == len(other.images)
    if same_images:
        return "the same test images have other ranks"
    return f"different test images: {len(one.images):,} and {len(other.images):,}, of which {shared:,} are the same"


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


def group_name(keys: Sequence[str], label: Sequence[str]) -> str:
    """Names of options as they are, other settings with their key; null ones are not told."""
    words = []
    for key, value in zip(keys, label, strict=True):
        if key.endswith(".name"):
            words.append(value)
        elif value != "null":
            words.append(f"{key.rpartition('.')[2]}={value}")
    return " ".join(words) or "all"
