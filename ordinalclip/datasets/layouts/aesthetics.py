"""Image Aesthetics: Flickr photos in four categories with several people's beauty scores from 1 to 5.

Schifanella, Redi and Aiello, "An image is worth more than a thousand favorites", ICWSM 2015.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.image_files import leave_out_missing, named_images
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.table_files import read_table, require_columns

COLUMNS = ("#flickr_photo_id", "category", "beauty_scores")
CATEGORIES = ("animals", "urban", "people", "nature")
Rule = Literal["median", "truncated_median", "rounded_mean"]


def load_aesthetics(
    *,
    root: str,
    scores: str = "beauty-icwsm15-dataset.tsv",
    images: str = "images",
    category: Literal["animals", "urban", "people", "nature"] | None = None,
    rule: Literal["median", "truncated_median", "rounded_mean"] = "median",
    rank_names: Sequence[str],
    rank_values: Sequence[float],
    unit: str = "grade",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load the table of scores and the photos that still exist; others are left out and counted in a note.

    In the manifest `labels` are all scores as ranks, `deviation` is their standard deviation, `category` an attribute.

    Options:
        scores: the published table: photo id, category, scores separated by commas.
        images: folder with a file for each photo, named by its id.
        category: one of the four; null for all.
        rule: how several scores make a grade; published code disagrees. "median": of an even number the upper of the
            two in the middle; "truncated_median": their mean, rounded down; "rounded_mean": the mean, halves up.
    """
    needs = [scores, images]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="Image Aesthetics", needs=needs)
    file = source.root / scores
    given = read_table(file)
    require_columns(given, file, COLUMNS)
    kinds = given["category"].str.strip().str.lower().replace({"animal": "animals"})
    rows = pd.Series(range(2, len(given) + 2), given.index).astype("str")  # as an editor counts them
    lines = "row " + rows + ": " + given[list(COLUMNS)].fillna("(empty)").agg(" ".join, axis=1)
    remedy = "copy the table again, or take these rows out"
    wrong = lines[~kinds.isin(CATEGORIES)].tolist()
    refuse(file, wrong, f"rows have no category of {', '.join(CATEGORIES)}", remedy=remedy)
    grades = [_grades(cell) for cell in given["beauty_scores"]]
    wrong = lines[[not scores_of for scores_of in grades]].tolist()
    refuse(file, wrong, "rows have no scores from 1 to 5 with commas between them", remedy=remedy)
    paths, there = named_images(source.root, images, given[COLUMNS[0]].fillna("").str.strip().tolist(), ".jpg")
    table = pd.DataFrame(
        {
            "path": paths,
            "rank": [grade_by(rule, scores_of) - 1 for scores_of in grades],
            "raw": given["beauty_scores"].str.strip(),
            "labels": [" ".join(str(score - 1) for score in scores_of) for scores_of in grades],
            "deviation": [float(np.std(scores_of)) for scores_of in grades],
            "category": kinds,
        }
    )
    if category is not None:
        chosen = (kinds == category).to_numpy()
        table, there = table[chosen].reset_index(drop=True), there[chosen]
    source.notes.append(f"the grade is the {rule.replace('_', ' ')} of the scores")
    table = leave_out_missing(source, table, there)
    return build_manifest(
        table, name="aesthetics", rank_names=rank_names, rank_values=rank_values, unit=unit, **source.options
    )


def grade_by(rule: Rule, scores: Sequence[int]) -> int:
    """One grade of several scores; the rules are those of `load_aesthetics`."""
    ordered, middle = sorted(scores), len(scores) // 2
    if rule == "median":
        return ordered[middle]
    if rule == "truncated_median":
        return (ordered[(len(scores) - 1) // 2] + ordered[middle]) // 2
    return int(sum(scores) / len(scores) + 0.5)


def _grades(cell: object) -> list[int]:
    """The scores in a cell; none where one of them is no grade."""
    words = [word.strip() for word in str(cell).strip().strip("[]\"'").split(",")]
    return [int(word) for word in words] if all(re.fullmatch("[1-5]", word) for word in words) else []
