"""Images that many people voted on: grades from 1 on, how many chose each, and ranks cut from their mean."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ordinalclip.datasets.grading import Grading, bin_values
from ordinalclip.errors import ConfigError

_SHARE_ERROR = 1e-3  # of a vote: shares are written with a dozen digits


def vote_statistics(votes_NG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [N] and standard deviation [N] of the votes.

    Args:
        votes_NG: how many, or which share, chose each of the grades 1…G.
    """
    grades = np.arange(1, votes_NG.shape[1] + 1)
    shares = votes_NG / votes_NG.sum(axis=1, keepdims=True)
    mean = shares @ grades
    variance = (shares * (grades - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(variance)


def counts_of_shares(votes_NG: np.ndarray, total_N: np.ndarray) -> np.ndarray:
    """How many chose each grade [N, G], where a row says which share did.

    Args:
        votes_NG: see `vote_statistics`.
        total_N: how many voted; nan where that is not known. Rows that do not sum to 1, or whose shares are of another
            number of votes than this, are left as they are.
    """
    counts = votes_NG * total_N[:, None]
    whole = np.isclose(counts, counts.round(), rtol=0, atol=_SHARE_ERROR).all(axis=1)
    shares = np.isclose(votes_NG.sum(axis=1), 1, rtol=0, atol=_SHARE_ERROR) & whole
    return np.where(shares[:, None], counts.round(), votes_NG)


def votes_table(
    votes_NG: np.ndarray,
    file: Path,
    bins: Sequence[float] | int,
    rank_names: Sequence[str] | None,
    rank_values: Sequence[float] | None,
) -> tuple[pd.DataFrame, Grading]:
    """What votes make of an image.

    Args:
        votes_NG: see `vote_statistics`; every image has one at least.
        file: that they come from.
        bins: edges of the ranks, or how many ranks of about equal size.
        rank_names: by default the edges.
        rank_values: by default the middles.

    Returns:
        `rank`, `value` (the mean), `deviation`, `raw` and `votes` (as written in the file, separated by a blank); and
        the ranks.

    Raises:
        ConfigError: for bins that cannot be, or names and values that are not one for each.
    """
    mean, deviation = vote_statistics(votes_NG)
    # Rounded, so that a mean that is an edge falls on the same side everywhere.
    mean = np.round(mean, 9)
    grading = bin_values(pd.DataFrame({"value": mean}), file, bins)
    for key, given in (("rank_names", rank_names), ("rank_values", rank_values)):
        if given is not None and len(given) != len(grading.names):
            remedy = "dataset.rank_names=null dataset.rank_values=null calls ranks by their edges"
            problem = f"{len(given)} for the {len(grading.names)} ranks that dataset.bins makes"
            raise ConfigError(f"dataset.{key}", list(given), problem, allowed="one per rank, or null", remedy=remedy)
    if rank_names is not None:
        grading = replace(grading, names=[str(name) for name in rank_names])
    if rank_values is not None:
        grading = replace(grading, values=[float(value) for value in rank_values])
    votes = [" ".join(f"{vote:g}" for vote in row) for row in votes_NG]
    columns = {"rank": grading.rank, "value": mean, "raw": votes, "deviation": deviation, "votes": votes}
    return pd.DataFrame(columns), grading


def votes_as_labels(votes_NG: np.ndarray, bins: Sequence[float] | int) -> list[str] | None:
    """Each vote as a rank, as the manifest's column `labels` has them, where ranks are the grades that were voted on.

    Args:
        votes_NG: see `vote_statistics`.
        bins: edges of the ranks; only where each of G ranks holds one grade is a vote a rank.

    Returns:
        The N rows' ranks in order, separated by blanks, or None where votes are no ranks, or shares and no counts.
    """
    grades = np.arange(1, votes_NG.shape[1] + 1)
    if isinstance(bins, int) or len(bins) != len(grades) + 1 or (votes_NG != votes_NG.round()).any():
        return None
    ranks = np.clip(np.searchsorted(bins, grades, side="right") - 1, 0, len(grades) - 1)
    if (ranks != grades - 1).any():
        return None
    return [" ".join(map(str, np.repeat(ranks, row))) for row in votes_NG.astype(np.int64)]
