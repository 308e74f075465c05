"""Two groups of runs beside each other: how far apart they are on the same test images, and what chance that counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.estimates import (
    DRAWS,
    Estimate,
    Floats,
    Source,
    difference,
    of_draws,
    of_images,
    of_seeds,
    over_test_sets,
)
from analysis.groups import Group, overlap_of_folds
from analysis.tested import Tested
from ordinalclip.scoring.intervals import bootstrap_scores, group_index


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


def pair_of(a: Group, b: Group, metric: str, level: float) -> Pair:
    """Two groups compared on the test sets that both have: over several of them, or over seeds and images of one.

    Args:
        a: the first.
        b: the second.
        metric: a column of scores.
        level: of the interval.
    """
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
            estimate = over_test_sets(differences, overlap_of_folds(len(common)), level)
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
    # Equal test sets have equal subjects; an imported run's record does not know them.
    subject = next((one.subject for one in [*known_a, *known_b] if one.subject is not None), None)
    num_images = len(known_a[0].images)
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
