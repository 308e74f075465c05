"""dataset=manifest: the user's own images, listed in a table of `path,rank` or `path,value`.

`load_table` reads the table, `save_table` writes one from a manifest.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.grading import Grading, bin_values, grade_ranks, grade_values, name_ranks
from ordinalclip.datasets.manifest import ALL_SPLITS, OPTIONAL, WHOLE_SPLIT, Manifest, build_manifest
from ordinalclip.datasets.table_files import describe_columns, normal_paths, read_table, table_file
from ordinalclip.errors import ConfigError, DataError

_COLUMNS = {"path", "rank", "value", "split", "subject", "group", "rank_name", "rank_value", "raw", "labels", *OPTIONAL}

SPLIT_WORDS = {
    **{split: split for split in ALL_SPLITS},
    "training": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
}


def load_table(
    *,
    path: str | None,
    root: str | None = None,
    unit: str = "",
    rank_names: Sequence[str | int | float] | None = None,
    rank_values: Sequence[float] | None = None,
    bins: Sequence[float] | Annotated[int, Between(2, None)] | None = None,
    first_rank: int | None = None,
    allow_empty: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Reads a table of images.

    Columns: `path`, and `rank` (integers) or `value` (numbers). If both are given, `rank` decides and `value` is the
    label in its own unit. Optional columns: `split`, `subject`, `group`; `rank_name` and `rank_value`, equal in all
    rows of a rank; `raw` (by default the cell of `rank` or `value`), `deviation` and `fold`, see `manifest.OPTIONAL`;
    `labels`, the integers of several annotators separated by blanks, on the scale of `rank` or `value`, with bins ranks
    from 0. Further columns are kept as attributes.

    Args:
        path: a .csv, .tsv or .parquet file; text is UTF-8, or has a byte order mark. An ordered categorical column of
            words in a .parquet file is ranks in its order.
        root: folder of the images; by default that of the table.
        unit: of the values, for tables and figures.
        rank_names: a word per rank for prompts; by default the column `rank_name`, or the numbers.
        rank_values: a number per rank; by default the column `rank_value`, or the numbers.
        bins: of the values: edges of the ranks, each including its lower edge and the last its upper one too; or the
            number of ranks of about equal size.
        first_rank: integer that becomes rank 0; by default the smallest.
        allow_empty: whether ranks may have no image.
        on_error: "raise" about broken images, or "skip" them with a note.
        allow_outside: whether paths may lead out of the folder of the images, for example by symbolic links.
        data_dir: not used.
        cache_dir: caches the inspection of the images.

    Returns:
        The manifest, its `split` NA if the table has no such column.

    Raises:
        ConfigError: settings do not fit the table.
        DataError: the table cannot be used; the message names rows.
    """
    file = table_file(path)
    table = _lower_case(read_table(file))
    if "path" not in table or not {"rank", "value"} & set(table):
        raise DataError(f"{file}: needs the columns path and rank, or path and value; {describe_columns(table)}")
    table["path"] = normal_paths(table["path"], file)
    folder = Path(root).expanduser() if root is not None else file.parent
    if not folder.is_dir():
        raise ConfigError(
            "dataset.root", root, "there is no such folder", allowed="the folder that the paths start from"
        )
    if "rank" in table:
        if bins is not None:
            raise ConfigError(
                "dataset.bins", bins, "bins cut the column value, and the table has ranks", allowed="null"
            )
        grading = grade_ranks(table, file, first_rank=first_rank)
    elif bins is not None:
        grading = bin_values(table, file, bins)
    else:
        grading = grade_values(table, file, first_rank=first_rank)
    grading = name_ranks(grading, table, rank_names, rank_values, may_exceed=first_rank is not None)
    if "labels" in table:
        table["labels"] = _labels_from_zero(table, grading.first, len(grading.names), file)
    if bins is None and not {"rank", "value"} <= set(table):  # the label is the rank's value
        grading = replace(grading, value=np.array(grading.values)[grading.rank])
    if not allow_empty:
        _check_gaps(grading, file)
    if "raw" not in table:
        table["raw"] = table["rank" if "rank" in table else "value"]
    table = table.drop(columns=["rank_name", "rank_value"], errors="ignore").assign(
        rank=grading.rank, value=grading.value
    )
    if "split" in table:
        table["split"] = table["split"].str.strip().str.lower().replace(SPLIT_WORDS)
    return build_manifest(
        table,
        name=file.stem,
        rank_names=grading.names,
        rank_values=grading.values,
        unit=unit,
        root=folder,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=grading.notes,
    )


def save_table(manifest: Manifest, file: Path) -> None:
    """Writes a manifest as a .csv that `dataset=manifest` reads back with the manifest's root as `dataset.root`.

    Args:
        manifest: with or without a split. If it has one, rows without a split are not written.
        file: path of the .csv in an existing folder.
    """
    table = manifest.table.drop(columns=["sha256", WHOLE_SPLIT], errors="ignore")
    if table["split"].notna().any():
        table = table[table["split"].notna()]
    table = table.dropna(axis="columns", how="all")
    table.insert(3, "rank_name", [manifest.rank_names[rank] for rank in table["rank"]])
    table.insert(4, "rank_value", [manifest.rank_values[rank] for rank in table["rank"]])
    table.to_csv(file, index=False, encoding="utf-8")


def _lower_case(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table whose columns are called path and rank or value if they are so but for the case,."""
    if "path" in table and {"rank", "value"} & set(table):
        return table
    names = {name: name.lower() for name in map(str, table) if name.lower() in _COLUMNS and name.lower() not in table}
    return table.rename(columns=names) if len(set(names.values())) == len(names) else table


def _labels_from_zero(table: pd.DataFrame, first: int, num_ranks: int, file: Path) -> pd.Series:
    """Returns the column `labels` as ranks from 0; the integers in the table count from `first`."""
    ranks: dict[str, str | None] = {}
    for cell in table["labels"].dropna().unique():
        try:
            given = [int(re.sub(r"\.0+$", "", word)) - first for word in cell.split()]
        except ValueError:
            given = [-1]
        ranks[cell] = " ".join(map(str, given)) if all(0 <= rank < num_ranks for rank in given) else None
    found = table["labels"].map(ranks)
    offenders = table["path"] + ": " + table["labels"].fillna("(none)")
    refuse(
        file,
        offenders[found.isna()].tolist(),
        f"rows have labels that are not integers {first}…{first + num_ranks - 1} with blanks between them",
        remedy="correct these; if the scale begins lower or ends higher, set dataset.first_rank and dataset.rank_names",
    )
    return found.astype("str")


def _check_gaps(grading: Grading, file: Path) -> None:
    missing = sorted(set(range(len(grading.names))) - {int(rank) for rank in grading.rank})
    if missing:
        names = ", ".join(grading.names[rank] for rank in missing[:20]) + (" …" if len(missing) > 20 else "")
        raise ConfigError(
            "dataset.allow_empty",
            False,
            f"{len(missing)} of {len(grading.names)} ranks have no image in {file.name}: {names}",
            remedy="dataset.allow_empty=true keeps them as ranks; dataset.bins joins values",
        )
