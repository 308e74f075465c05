"""KonIQ-10k: photos as they are found, each judged by about 120 people on five grades of technical quality.

Hosu, Lin, Sziranyi and Saupe, "KonIQ-10k", IEEE Transactions on Image Processing 29, 2020.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.published_labels import counts_of_shares, votes_as_labels, votes_table
from ordinalclip.datasets.table import SPLIT_WORDS
from ordinalclip.datasets.table_files import read_table, require_columns

GRADES = ("c1", "c2", "c3", "c4", "c5")


def load_koniq(
    *,
    root: str,
    scores: str = "koniq10k_distributions_sets.csv",
    images: str = "1024x768",
    bins: Sequence[float] | Annotated[int, Between(2, None)],
    rank_names: Sequence[str] | None = None,
    rank_values: Sequence[float] | None = None,
    unit: str = "mean opinion score",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load the table of votes and the photos.

    The mean is computed from the votes c1…c5: the column MOS is on 1…5 in one published table and on 1…100 in the
    other. The table with the split has shares in c1…c5 and the number of votes in c_total, from which counts are
    computed.

    In the manifest `value` is the mean vote, `deviation` its deviation, `votes` the counts of the grades, `raw` c1…c5
    as written, and `labels` the votes one by one if the ranks are the grades.

    Options:
        scores: koniq10k_distributions_sets.csv, whose column `set` is the published split, or
            koniq10k_scores_and_distributions.csv, which has none.
        images: 1024x768 or 512x384.
        bins: edges of the ranks on the scale of 1 to 5, or a number of ranks of about equal size.
        rank_names, rank_values: null for the edges, and for the middles.
    """
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="KonIQ-10k", needs=[scores, images])
    file = source.root / scores
    given = read_table(file)
    require_columns(given, file, ["image_name", *GRADES])
    names = given["image_name"].fillna("").str.strip()
    votes = given[list(GRADES)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    unread = ~(np.isfinite(votes).all(axis=1) & (votes >= 0).all(axis=1) & (votes.sum(axis=1) > 0)) | (names == "")
    wrong = [f"row {row + 2}: {names[row]}" for row in np.flatnonzero(unread)]
    remedy = "copy the table again, or take these rows out"
    refuse(file, wrong, "rows have no image with votes in c1…c5", remedy=remedy)
    if "c_total" in given:
        total = pd.to_numeric(given["c_total"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        votes = counts_of_shares(votes, total)
    table, grading = votes_table(votes, file, bins, rank_names, rank_values)
    table["raw"] = given[list(GRADES)].agg(" ".join, axis=1)
    table.insert(0, "path", [f"{images}/{name}" for name in names])
    labels = votes_as_labels(votes, bins)
    if labels is not None:
        table["labels"] = labels
    if "set" in given:
        table["split"] = given["set"].str.strip().str.lower().replace(SPLIT_WORDS)
    source.require(table["path"].tolist(), f"images that {scores} names")
    source.notes.extend(grading.notes)
    return build_manifest(
        table, name="koniq", rank_names=grading.names, rank_values=grading.values, unit=unit, **source.options
    )
