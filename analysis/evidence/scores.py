"""What a finished run says about one cell of the comparison. N test images, R ranks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.numpy import load_file

from analysis.evidence.plan import Cell
from ordinalclip.prepare import Job

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Scored:
    """One finished run.

    Attributes:
        cell: which.
        job: of it.
        errors: |expectation - rank| of each test image [N], in the order of the images' hashes.
        stats: scores by name, as in test_stats.json and ordinality.json; `mae_weak` is of the ranks that training has
            less than half as many images of as of the best supplied rank.
    """

    cell: Cell
    job: Job
    errors: Floats
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
    table = pd.read_parquet(job.run.directory / "predictions.parquet").sort_values(["sha256", "rank"])
    rank = table["rank"].to_numpy()
    errors = np.abs(table["expectation"].to_numpy(dtype=np.float64) - rank)
    stats, ordinality = job.run.read_json("test_stats.json"), job.run.read_json("ordinality.json")
    values = {name.removeprefix("test/"): float(value) for name, value in stats.items() if _is_number(value)}
    values |= {name: float(value) for name, value in job.run.read_json("val_stats.json").items() if _is_number(value)}
    for when in ("before", "best"):
        values |= {f"ordinality_{when}": ordinality[when]["score"]}
        values |= {f"off_diagonal_{when}": ordinality[when]["off_diagonal"]}
    weak = weak_ranks(job)
    if weak.any():
        values["mae_weak"] = float(errors[weak[rank]].mean())
        values["mae_argmax_weak"] = float(np.abs(table["argmax"].to_numpy() - rank)[weak[rank]].mean())
    return Scored(cell, job, errors, values)


def weak_ranks(job: Job) -> npt.NDArray[np.bool_]:
    """Which ranks [R] training has less than half as many images of as of the best supplied one."""
    table = job.manifest.table
    counts = np.bincount(table["rank"].to_numpy()[table["split"] == "train"], minlength=job.manifest.num_ranks)
    few: npt.NDArray[np.bool_] = counts < counts.max() / 2
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
