"""What a finished run says about one cell of the comparison. N test images, R ranks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from analysis.estimates import Estimate, difference, mean_estimate, of_images, of_seeds
from analysis.evidence.plan import Cell
from analysis.tested import read_tested
from ordinalclip.datasets.manifest import WHOLE_SPLIT
from ordinalclip.preparation.prepare import Job
from ordinalclip.scoring.image_scores import per_image

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Scored:
    """One finished run.

    Attributes:
        cell: which.
        job: of it.
        errors: `mae` and `mae_argmax` of each test image [N], in the order of the images' hashes.
        weak: which of these images [N] are of weak ranks.
        family: number of each image's subject or group [N]; None where none is known.
        stats: scores by name, as in test_stats.json and ordinality.json; `mae_weak` is of weak ranks alone.
    """

    cell: Cell
    job: Job
    errors: Mapping[str, Floats]
    weak: npt.NDArray[np.bool_]
    family: npt.NDArray[np.int64] | None
    stats: Mapping[str, float]

    @property
    def rank_features(self) -> Floats:
        """After training [R, D]."""
        features: Floats = load_file(self.job.run.directory / "rank_features.safetensors")["rank_features"]
        return features


Group = dict[tuple[str, str, str], list[Scored]]
"""(variant, setting, method) → its runs, by seed."""


def read(cell: Cell, job: Job) -> Scored:
    """The scores of a finished run."""
    tested = read_tested(job.run.directory)
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
    return Scored(cell, job, errors, weak, tested.subject, values)


def weak_ranks(job: Job) -> npt.NDArray[np.bool_]:
    """Which ranks [R] have lost more than half of their training images to the setting, however rare they were."""
    table, num_ranks = job.manifest.table, job.manifest.num_ranks
    rank, left = table["rank"].to_numpy(), (table["split"] == "train").to_numpy()
    before = (table[WHOLE_SPLIT] == "train").to_numpy() if WHOLE_SPLIT in table else left
    kept, had = (np.bincount(rank[chosen], minlength=num_ranks) for chosen in (left, before))
    few: npt.NDArray[np.bool_] = kept < had / 2
    return few


def images_a_rank(job: Job) -> int:
    """Training images of a rank, in the mean."""
    return round((job.manifest.table["split"] == "train").sum() / job.manifest.num_ranks)


def grouped(scored: Iterable[Scored]) -> Group:
    """Runs by variant, setting and method, each group in the order of its seeds."""
    groups: Group = {}
    for one in sorted(scored, key=lambda one: one.cell.seed):
        groups.setdefault((one.cell.variant, one.cell.setting, one.cell.method), []).append(one)
    return groups


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# MERGED: """How far one method is ahead of another in one setting: paired by seed and by test image. S seeds, N images."""


def mean_of(runs: Sequence[Scored], name: str) -> Estimate:
    """The mean of a score over seeds with Student's t interval; nan without runs."""
    return mean_estimate(np.array([run.stats.get(name, np.nan) for run in runs]))


def error_difference(a: Sequence[Scored], b: Sequence[Scored], name: str = "mae", *, weak: bool = False) -> Estimate:
    """Mean absolute error of `a` less that of `b`, below 0 where `a` is ahead.

    Both have seen the same training images under a seed and are tested on the same images. The interval counts what
    seeds change and what other test images, or other people, would.

    Args:
        a: runs of one method in a setting.
        b: runs of another in the same setting.
        name: of the error, `mae` or `mae_argmax`.
        weak: on images of weak ranks alone, which may be others under each seed.
    """
    pairs = _pairs(a, b)
    if not pairs:
        return difference(float("nan"), [])
    deltas_SN = np.stack([one.errors[name] - other.errors[name] for one, other in pairs])
    counted_SN = np.stack([one.weak for one, _ in pairs]) if weak else np.ones(deltas_SN.shape, dtype=bool)
    if not counted_SN.any(axis=1).all():
        return difference(float("nan"), [])
    share_S = counted_SN.mean(axis=1)
    by_seed_S = (deltas_SN * counted_SN).mean(axis=1) / share_S
    # What each image adds to the mean, to first order: under a seed an image counts by 1 / share, or not at all.
    added_N = (counted_SN * (deltas_SN - by_seed_S[:, None]) / share_S[:, None]).mean(axis=0)
    seeds = of_seeds(by_seed_S, np.zeros_like(by_seed_S), paired=True)
    images = of_images(added_N, pairs[0][0].family) if seeds else []
    return difference(float(by_seed_S.mean()), [*seeds, *images])


def verdict(estimate: Estimate) -> str:
    """Whether a difference of errors is one: `ahead`, `behind`, `not told apart`, or nothing where it is not known."""
    if not np.isfinite(estimate.low):
        return ""
    if estimate.high < 0:
        return "ahead"
    return "behind" if estimate.low > 0 else "not told apart"


def _pairs(a: Sequence[Scored], b: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    others = {run.cell.seed: run for run in b}
    return [(run, others[run.cell.seed]) for run in a if run.cell.seed in others]
