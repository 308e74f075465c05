"""dataset=manifest: the user's own images, listed in a table of `path,rank` or `path,value`.

Ranks are named by the configuration, by columns of the table, or by their numbers.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.grading import Grading, bin_values, grade_ranks, grade_values
from ordinalclip.datasets.manifest import ALL_SPLITS, WHOLE_SPLIT, Manifest, build_manifest
from ordinalclip.datasets.table_files import columns_told, normal_paths, read_table, table_file
from ordinalclip.errors import ConfigError, DataError

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
    """Read a table of images.

    Columns: `path` and `rank` (integers) or `value` (numbers); where both stand, `rank` decides and `value` is the
    label in its own unit. Optional: `split`, `subject`, `group`, and `rank_name` and `rank_value`, alike in all rows
    of a rank. `raw`, `deviation` and `fold` are what `columns.OPTIONAL` says (`raw` is the cell of `rank` or `value`
    where it is not given). `labels` are several annotators' integers, separated by blanks, as `rank` or `value` counts
    them; with bins, ranks from 0. Further columns are kept as attributes.

    Args:
        path: a .csv, .tsv or .parquet file; text is UTF-8.
        root: folder of the images; by default that of the table.
        unit: of the values, for tables and figures.
        rank_names: a word per rank for prompts; by default the column `rank_name`, or the numbers themselves.
        rank_values: a number per rank; by default the column `rank_value`, or the numbers themselves.
        bins: for values: edges of the ranks (each from its lower edge up to below the next, the last one closed), or
            how many ranks of about equal size to cut them into.
        first_rank: the integer that becomes rank 0; by default the smallest.
        allow_empty: let there be ranks without any image.
        on_error: "raise" about broken images, or "skip" and note them.
        allow_outside: let paths lead out of the folder of the images, by symbolic links say.
        data_dir: not used.
        cache_dir: remembers the inspection.

    Returns:
        The manifest, its `split` NA where the table has no such column.

    Raises:
        ConfigError: for settings that do not fit the table.
        DataError: for a table that cannot be used, naming rows.
    """
    file = table_file(path)
    table = read_table(file)
    if "path" not in table or not {"rank", "value"} & set(table):
        raise DataError(f"{file}: needs the columns path and rank, or path and value; {columns_told(table)}")
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
    first = int(grading.names[0]) if bins is None else 0
    grading = name_ranks(grading, table, rank_names, rank_values, may_exceed=first_rank is not None)
    if "labels" in table:
        table["labels"] = _from_first_rank(table, first, len(grading.names), file)
    if bins is None and not {"rank", "value"} <= set(table):  # the label is the rank's value, whatever that was set to
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
    """Write a manifest as a .csv that `dataset=manifest` reads back, given the manifest's root as `dataset.root`.

    Images that a subset left without a split are left out.

    Args:
        manifest: with or without its split.
        file: where to; its folder must exist.
    """
    table = manifest.table.drop(columns=["sha256", WHOLE_SPLIT], errors="ignore")
    if table["split"].notna().any():
        table = table[table["split"].notna()]
    table = table.dropna(axis="columns", how="all")
    table.insert(3, "rank_name", [manifest.rank_names[rank] for rank in table["rank"]])
    table.insert(4, "rank_value", [manifest.rank_values[rank] for rank in table["rank"]])
    table.to_csv(file, index=False, encoding="utf-8")


def _from_first_rank(table: pd.DataFrame, first: int, num_ranks: int, file: Path) -> pd.Series:
    """Annotators' labels as ranks from 0, which the numbers in the table need not be."""
    ranks: dict[str, str | None] = {}
    for cell in table["labels"].dropna().unique():
        try:
            given = [int(word) - first for word in cell.split()]
        except ValueError:
            given = [-1]
        ranks[cell] = " ".join(map(str, given)) if all(0 <= rank < num_ranks for rank in given) else None
    found = table["labels"].map(ranks)
    told = table["path"] + ": " + table["labels"].fillna("(none)")
    refuse(
        file,
        told[found.isna()].tolist(),
        f"rows have labels that are not integers {first}…{first + num_ranks - 1} with blanks between them",
        remedy="correct these; where the scale begins lower or ends higher, dataset.first_rank and dataset.rank_names",
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
            remedy="dataset.allow_empty=true keeps them as ranks; dataset.bins puts values together",
        )


def name_ranks(
    grading: Grading,
    table: pd.DataFrame,
    rank_names: Sequence[str | int | float] | None,
    rank_values: Sequence[float] | None,
    *,
    may_exceed: bool,
) -> Grading:
    """Give the ranks their names and values.

    Args:
        grading: the ranks, called by their numbers.
        table: perhaps with the columns `rank_name` and `rank_value`.
        rank_names: from the configuration; go before the column.
        rank_values: likewise.
        may_exceed: whether more names than the table's span may be given; the further ranks have no image.

    Returns:
        The grading under its new names and values.

    Raises:
        ConfigError: where the lists do not fit the table.
        DataError: where a rank has two names in the table.
    """
    names, values = list(grading.names), list(grading.values)
    if "rank_name" in table:
        for rank, name in _per_rank(grading, table["rank_name"]).items():
            names[rank] = name
    if "rank_value" in table:
        for rank, text in _per_rank(grading, table["rank_value"]).items():
            try:
                values[rank] = float(text)
            except ValueError:
                raise DataError(f"rank_value of rank {grading.names[rank]} is no number: {text}") from None
    total = len(names) if rank_names is None else len(rank_names)
    span = f"the {len(names)} ranks {grading.names[0]}…{grading.names[-1]} of the table"
    if rank_names is not None and (total < len(names) or (total > len(names) and not may_exceed)):
        raise ConfigError(
            "dataset.rank_names",
            list(rank_names),
            f"{total} for {span}",
            allowed=f"a list of {len(names)}",
            remedy="ranks without images: dataset.allow_empty=true dataset.first_rank=… (the integer that comes first)",
        )
    if rank_values is not None and len(rank_values) != total:
        raise ConfigError(
            "dataset.rank_values", list(rank_values), f"{len(rank_values)} for {span}", allowed=f"a list of {total}"
        )
    # More names than the table's span: ranks above its greatest, their values going on in equal steps.
    step = values[-1] - values[-2] if len(values) > 1 else 1.0
    values += [values[-1] + step * more for more in range(1, total - len(values) + 1)]
    return grading.renamed(
        names=names if rank_names is None else [str(name) for name in rank_names],
        values=values if rank_values is None else [float(value) for value in rank_values],
    )


def _per_rank(grading: Grading, column: pd.Series) -> dict[int, str]:
    found: dict[int, str] = {}
    for rank, cell in zip(grading.rank, column, strict=True):
        if pd.isna(cell):
            continue
        if found.setdefault(int(rank), cell) != cell:
            raise DataError(f"column {column.name}: rank {grading.names[rank]} has both {found[int(rank)]} and {cell}")
    return found
