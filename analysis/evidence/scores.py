"""Scores of the finished runs, and differences between methods, paired by seed and test image.

Shapes: N test images, R ranks, S seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from analysis.estimates import Estimate, difference_estimate, image_variance, mean_estimate, seed_variance
from analysis.evidence.plan import Cell
from analysis.image_results import read_image_results
from ordinalclip.datasets.manifest import WHOLE_SPLIT
from ordinalclip.preparation.prepare import Job
from ordinalclip.scoring.image_scores import per_image

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """One finished run.

    Attributes:
        cell: of the run.
        job: of the run.
        errors: `mae` and `mae_argmax` of each test image [N], in the order of the images' hashes.
        weak: whether each image [N] has a weak rank.
        family: index of each image's subject or group [N]; None if there are none.
        stats: scores by name, as in test_stats.json and ordinality.json; `mae_weak` is over weak ranks only.
    """

    cell: Cell
    job: Job
    errors: Mapping[str, Floats]
    weak: npt.NDArray[np.bool_]
    family: npt.NDArray[np.int64] | None
    stats: Mapping[str, float]

    @property
    def rank_features(self) -> Floats:
        """Rank features after training [R, D]."""
        features: Floats = load_file(self.job.run.directory / "rank_features.safetensors")["rank_features"]
        return features


RunGroups = dict[tuple[str, str, str], list[ScoredRun]]
"""(variant, setting, method) → its runs, by seed."""


def read_scores(cell: Cell, job: Job) -> ScoredRun:
    """Reads the scores of a finished run."""
    tested = read_image_results(job.run.directory)
    scores = per_image(tested.predictions)
    errors = {name: scores[name][tested.order] for name in ("mae", "mae_argmax")}
    stats, ordinality = job.run.read_json("test_stats.json"), job.run.read_json("ordinality.json")
    values = {name.removeprefix("test/"): float(value) for name, value in stats.items() if _is_number(value)}
    values |= {name: float(value) for name, value in job.run.read_json("val_stats.json").items() if _is_number(value)}
    for when in ("before", "best"):
        values |= {f"ordinality_{when}": ordinality[when]["score"]}
        values |= {f"off_diagonal_{when}": ordinality[when]["off_diagonal"]}
    weak = weak_ranks(job)[tested.predictions.rank[tested.order]]
    if weak.any():
        values |= {f"{name}_weak": float(found[weak].mean()) for name, found in errors.items()}
    return ScoredRun(cell, job, errors, weak, tested.subject, values)


def weak_ranks(job: Job) -> npt.NDArray[np.bool_]:
    """Returns whether the setting has removed more than half of each rank's training images [R]."""
    table, num_ranks = job.manifest.table, job.manifest.num_ranks
    rank, left = table["rank"].to_numpy(), (table["split"] == "train").to_numpy()
    before = (table[WHOLE_SPLIT] == "train").to_numpy() if WHOLE_SPLIT in table else left
    kept, had = (np.bincount(rank[chosen], minlength=num_ranks) for chosen in (left, before))
    few: npt.NDArray[np.bool_] = kept < had / 2
    return few


def images_per_rank(job: Job) -> int:
    """Returns the mean number of training images per rank, rounded."""
    return round((job.manifest.table["split"] == "train").sum() / job.manifest.num_ranks)


def group_runs(scored: Iterable[ScoredRun]) -> RunGroups:
    """Groups runs by variant, setting and method, each sorted by seed."""
    groups: RunGroups = {}
    for one in sorted(scored, key=lambda one: one.cell.seed):
        groups.setdefault((one.cell.variant, one.cell.setting, one.cell.method), []).append(one)
    return groups


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def mean_of(runs: Sequence[ScoredRun], name: str) -> Estimate:
    """Returns the mean of a score over seeds with Student's t interval; nan without runs."""
    return mean_estimate(np.array([run.stats.get(name, np.nan) for run in runs]))


def error_difference(
    a: Sequence[ScoredRun], b: Sequence[ScoredRun], name: str = "mae", *, weak: bool = False
) -> Estimate:
    """Returns the mean absolute error of `a` minus that of `b`, which is negative if `a` is better.

    Runs with the same seed have the same training images, and all have the same test images. The interval includes the
    variance over seeds and over test subjects.

    Args:
        a: runs of a method in a setting.
        b: runs of another method in the same setting.
        name: of the error, `mae` or `mae_argmax`.
        weak: only on images of weak ranks, which may differ between seeds.
    """
    pairs = _pairs(a, b)
    if not pairs:
        return difference_estimate(float("nan"), [])
    deltas_SN = np.stack([one.errors[name] - other.errors[name] for one, other in pairs])
    counted_SN = np.stack([one.weak for one, _ in pairs]) if weak else np.ones(deltas_SN.shape, dtype=bool)
    if not counted_SN.any(axis=1).all():
        return difference_estimate(float("nan"), [])
    share_S = counted_SN.mean(axis=1)
    by_seed_S = (deltas_SN * counted_SN).mean(axis=1) / share_S
    # Contribution of each image to the mean, to first order: its weight under a seed is 1 / share or 0.
    added_N = (counted_SN * (deltas_SN - by_seed_S[:, None]) / share_S[:, None]).mean(axis=0)
    seeds = seed_variance(by_seed_S, np.zeros_like(by_seed_S), paired=True)
    images = image_variance(added_N, pairs[0][0].family) if seeds else []
    return difference_estimate(float(by_seed_S.mean()), [*seeds, *images])


def verdict(estimate: Estimate) -> str:
    """Returns `ahead`, `behind`, `not told apart`, or "" if a difference of errors has no interval."""
    if not np.isfinite(estimate.low):
        return ""
    if estimate.high < 0:
        return "ahead"
    return "behind" if estimate.low > 0 else "not told apart"


def _pairs(a: Sequence[ScoredRun], b: Sequence[ScoredRun]) -> list[tuple[ScoredRun, ScoredRun]]:
    others = {run.cell.seed: run for run in b}
    return [(run, others[run.cell.seed]) for run in a if run.cell.seed in others]
