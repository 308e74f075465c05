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
from ordinalclip.datasets.layout import find_root, require_files
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
    """Read the table of votes and the photos.

    The mean is taken from the votes c1…c5 themselves: the column MOS is on 1…5 in one of the two published tables and
    on 1…100 in the other. The table with the split has shares in c1…c5 and the number of votes in c_total; counts are
    made of both.

    Args:
        root: folder of the data set.
        scores: table in it: koniq10k_distributions_sets.csv, whose column `set` is the published split, or
            koniq10k_scores_and_distributions.csv, which has none.
        images: folder in it: 1024x768 or 512x384.
        bins: edges of the ranks on the scale of 1 to 5, or how many ranks of about equal size.
        rank_names: a word per rank; null calls them by their edges.
        rank_values: a number per rank; null takes the middles.
        unit: of the values.
        obtain: where the data come from.
        on_error: "raise" about missing and broken images, or "skip" and note them.
        allow_outside: let paths lead out of the folder of the images, by symbolic links say.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest, with its split where the table has one; `value` is the mean vote, `deviation` its deviation,
        `votes` how many chose each grade, `raw` c1…c5 as written. Where the ranks are the grades, `labels` are the
        votes one by one.

    Raises:
        ConfigError: where there is no such folder, or the bins cannot be.
        DataError: for a table that cannot be used, or images that are missing.
    """
    top = find_root(root, name="KonIQ-10k", needs=[scores, images], obtain=obtain, allow_outside=allow_outside)
    given = read_table(top / scores)
    require_columns(given, top / scores, ["image_name", *GRADES])
    names = given["image_name"].fillna("").str.strip()
    votes = given[list(GRADES)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    told = [f"row {row}: {name}" for row, name in zip(range(2, len(given) + 2), names, strict=True)]
    unread = ~(np.isfinite(votes).all(axis=1) & (votes >= 0).all(axis=1) & (votes.sum(axis=1) > 0)) | (names == "")
    refuse(
        top / scores,
        [told[row] for row in np.flatnonzero(unread)],
        "rows have no image with votes in c1…c5",
        remedy="copy the table again, or take these rows out",
    )
    if "c_total" in given:
        total = pd.to_numeric(given["c_total"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        votes = counts_of_shares(votes, total)
    table, grading = votes_table(votes, top / scores, bins, rank_names, rank_values)
    table["raw"] = given[list(GRADES)].agg(" ".join, axis=1)
    table.insert(0, "path", [f"{images}/{name}" for name in names])
    labels = votes_as_labels(votes, bins)
    if labels is not None:
        table["labels"] = labels
    if "set" in given:
        table["split"] = given["set"].str.strip().str.lower().replace(SPLIT_WORDS)
    if on_error == "raise":
        require_files(top, table["path"].tolist(), what=f"images that {scores} names", obtain=obtain)
    return build_manifest(
        table,
        name="koniq",
        rank_names=grading.names,
        rank_values=grading.values,
        unit=unit,
        root=top,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=grading.notes,
    )
