"""The manifest: a data set as a table with one row per image, and the names and values of its R ranks.

Columns are those of `COLUMNS`, some of `OPTIONAL`, and attributes: any further column (sex, category, source, …).

- `path`: relative to the manifest's root, with forward slashes.
- `rank`: 0…R-1. `value`: the label in the data set's own unit, which may lie between the ranks' values.
- `subject`, `group`: NA if unknown. `split`: one of `ALL_SPLITS`, NA before a protocol is applied and for left-out
rows.
- `sha256`: of the file's bytes; it identifies the image in every cache.

All loaders end in `build_manifest`, which checks the table and reads every image. `match_ranks` maps a manifest to the
ranks of a trained model by their values.
"""

import hashlib
import json
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ordinalclip.datasets.bad_rows import NUM_LISTED, listed, refuse
from ordinalclip.datasets.layout import check_inside, found_paths, nearest_names
from ordinalclip.errors import DataError
from ordinalclip.images.decoding import inspect_images

SPLITS = ("train", "val", "test")
CALIBRATION = "calibration"  # the part of val that no epoch is chosen on; intervals and temperatures are fitted to it
ALL_SPLITS = ("train", "val", CALIBRATION, "test")
COLUMNS = ("path", "rank", "value", "subject", "group", "split", "sha256")
# raw: the label as written, in every manifest; deviation: its standard deviation among annotators; labels: the ranks
# that annotators gave, separated by blanks; fold: the published or drawn fold.
OPTIONAL = {"raw": "str", "deviation": "float64", "labels": "str", "fold": "str"}
WHOLE_SPLIT = "split_before_subset"  # added by `take_subset` if it left rows out
CLEAN_RANK = "rank_before_noise"  # added by `take_subset` if it added label noise

_HASHED_ROWS = 100_000  # rows that are held as text while they are hashed
_NUM_LISTED_VALUES = 8


def attribute_columns(columns: Iterable[Hashable]) -> list[str]:
    """Returns the columns that are attributes of the images."""
    known = {*COLUMNS, *OPTIONAL, WHOLE_SPLIT, CLEAN_RANK}
    return [str(column) for column in columns if column not in known]


@dataclass(frozen=True, eq=False)
class Manifest:
    """Everything the platform knows about a data set.

    Args:
        name: short name, used in directory names.
        table: one row per image; see the module's docstring for the columns.
        rank_names: a word or number per rank, as used in prompts.
        rank_values: a number per rank in `unit`; readouts are expectations over these.
        unit: of `value`.
        root: the folder that the paths are relative to.
        notes: printed once and recorded with every run.
    """

    name: str
    table: pd.DataFrame
    rank_names: tuple[str, ...]
    rank_values: tuple[float, ...]
    unit: str
    root: Path
    notes: tuple[str, ...] = ()

    @property
    def num_ranks(self) -> int:
        """Number of ordered classes R."""
        return len(self.rank_names)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of image content and labels; paths and root do not matter."""
        columns = ["sha256", "rank", "value", "subject", "group", "split"]
        columns += [name for name in ("labels", "deviation") if name in self.table and self.table[name].notna().any()]
        digest = hashlib.sha256(json.dumps([self.rank_names, self.rank_values]).encode())
        for start in range(0, len(self.table), _HASHED_ROWS):
            rows = self.table[columns].iloc[start : start + _HASHED_ROWS]
            cells = zip(*(_as_json(rows[name]) for name in columns), strict=True)
            digest.update("".join(f"[{', '.join(row)}]\n" for row in cells).encode())
        return digest.hexdigest()

    @property
    def attributes(self) -> list[str]:
        """Names of the columns that are attributes of the images."""
        return attribute_columns(self.table)

    def ranks(self) -> dict[str, Any]:
        """Returns `names`, `values` and `unit` of the ranks, for a run's record."""
        return {"names": list(self.rank_names), "values": list(self.rank_values), "unit": self.unit}

    def files(self) -> list[Path]:
        """Returns the images' full paths [N]."""
        return [self.root / path for path in self.table["path"]]

    def hashes(self) -> np.ndarray:
        """Returns the images' SHA-256 [N]."""
        return self.table["sha256"].to_numpy(dtype=str)


def build_manifest(
    table: pd.DataFrame,
    *,
    name: str,
    rank_names: Sequence[str],
    rank_values: Sequence[float],
    unit: str,
    root: Path,
    cache_dir: Path,
    on_error: str = "raise",
    allow_outside: bool = False,
    notes: Sequence[str] = (),
) -> Manifest:
    """Checks a loader's table, reads every image, and returns the manifest.

    Args:
        table: at least `path` and `rank`. `value` defaults to the rank's value, `raw` to that number as text, the other
            columns to NA.
        name: see `Manifest`, as are `unit`, `root` and `notes`.
        rank_names: one per rank.
        rank_values: one per rank.
        unit: of the values.
        root: folder of the images.
        cache_dir: caches the inspection of the images.
        on_error: "raise", or "skip" to leave broken images out with a note.
        allow_outside: whether paths may lead out of `root`, through `..`, as absolute paths or by symbolic links.
        notes: of the loader.

    Raises:
        DataError: ranks are out of range, a path occurs twice or leads out of `root`, or images cannot be read. The
            message lists all of them.
    """
    num_ranks = len(rank_names)
    if len(rank_values) != num_ranks:
        raise DataError(f"{name}: {num_ranks} rank names but {len(rank_values)} rank values; give one of each per rank")
    if table.empty:
        raise DataError(f"{name}: the table has no rows; it needs at least one image in each split")
    table = table.reset_index(drop=True)
    _check_ranks(table, num_ranks, name)
    table["path"] = pd.Series(found_paths(root, table["path"].tolist()), dtype=table["path"].dtype)
    _check_duplicates(table, name)
    check_inside(root, table["path"].tolist(), allow_outside=allow_outside)
    inspected = inspect_images([os.path.join(root, path) for path in table["path"]], cache_dir)
    table["sha256"] = inspected["sha256"]
    broken = inspected["error"].notna()
    if broken.any():
        errors = dict(zip(table["path"][broken], inspected["error"][broken], strict=True))
        missing = [path for path in list(errors)[:NUM_LISTED] if not os.path.lexists(os.path.join(root, path))]
        nearest = dict(zip(missing, nearest_names(root, missing), strict=True))
        examples = listed([f"{path}: {error}{nearest.get(path, '')}" for path, error in errors.items()])
        if on_error == "raise" or broken.all():
            remedy = "repair these files or remove their rows, or leave them out: dataset.on_error=skip"
            if broken.all():  # nothing would be left
                remedy = "check that dataset.root is the right folder and the images are unpacked"
            if any(nearest.values()):
                remedy = f"write the names as the files have them; or {remedy}"
            raise DataError(
                f"{name}: {broken.sum()} of {len(table)} images under {root} cannot be used:\n{examples}\n"
                f"  what to do: {remedy}"
            )
        notes = [*notes, f"skipped {broken.sum()} of {len(table)} images that cannot be used:\n{examples}"]
        table = table[~broken].reset_index(drop=True)
    table["rank"] = table["rank"].astype("int64")
    if "value" not in table:
        table["value"] = np.asarray(rank_values, dtype=float)[table["rank"].to_numpy()]
    table["value"] = table["value"].astype("float64")
    if "raw" not in table:
        table["raw"] = table["value"].map("{:g}".format)
    for column in ("subject", "group", "split"):
        table[column] = table[column].astype("str") if column in table else pd.Series(pd.NA, table.index, dtype="str")
    for column, dtype in OPTIONAL.items():
        if column in table:
            table[column] = table[column].astype(dtype)  # type: ignore[call-overload]
    if "labels" in table:
        _check_labels(table, num_ranks, name)
    table = table[[*COLUMNS, *(column for column in table if column not in COLUMNS)]]
    return Manifest(
        name=name,
        table=table,
        rank_names=tuple(str(rank_name) for rank_name in rank_names),
        rank_values=tuple(float(value) for value in rank_values),
        unit=unit,
        root=root,
        notes=tuple(notes),
    )


def _check_ranks(table: pd.DataFrame, num_ranks: int, name: str) -> None:
    if num_ranks < 2:
        raise DataError(f"{name}: {num_ranks} rank; ordinal regression needs two or more")
    wrong = table[(table["rank"] < 0) | (table["rank"] >= num_ranks)]
    rows = [f"{path}: rank {rank}" for path, rank in zip(wrong["path"], wrong["rank"], strict=True)]
    problem = f"rows have a rank outside 0…{num_ranks - 1}"
    refuse(name, rows, problem, remedy="correct these labels or remove the rows")


def _check_duplicates(table: pd.DataFrame, name: str) -> None:
    counts = table["path"].value_counts()
    counts = counts[counts > 1]
    rows = [f"{path}: {count} rows" for path, count in counts.items()]
    remedy = "keep one row per image, so that no training image is in the test split"
    refuse(name, rows, "paths occur more than once", remedy=remedy)


def _check_labels(table: pd.DataFrame, num_ranks: int, name: str) -> None:
    """Raises DataError unless each cell of `labels` is one or more ranks separated by single blanks."""
    allowed = {str(rank) for rank in range(num_ranks)}
    wrong = [
        labels
        for labels in table["labels"].unique()
        if pd.isna(labels) or not labels.split(" ") or not set(labels.split(" ")) <= allowed
    ]
    rows = table[table["labels"].isin(wrong)]
    offenders = [f"{path}: {labels}" for path, labels in zip(rows["path"], rows["labels"], strict=True)]
    problem = f"rows have labels that are not ranks 0…{num_ranks - 1} separated by single blanks"
    refuse(name, offenders, problem, remedy="correct the column labels, or remove it")


def _as_json(column: pd.Series) -> list[str]:
    """Returns each cell as `json.dumps` writes it, NA as null. Equal cells are converted once."""
    codes, cells = pd.factorize(column.astype(object))
    words = [encode_basestring_ascii(cell) if isinstance(cell, str) else json.dumps(_python(cell)) for cell in cells]
    words.append("null")  # the code of an NA is -1
    return [words[code] for code in codes]


def _python(cell: Hashable) -> object:
    return cell.item() if isinstance(cell, np.generic) else cell


def match_ranks(manifest: Manifest, names: Sequence[str], values: Sequence[float]) -> Manifest:
    """Returns a manifest under the ranks of a trained model: each rank becomes the model's rank of equal value.

    Args:
        manifest: with its own ranks; the values in use are some of the model's.
        names: of the model's R ranks.
        values: of the model's R ranks.

    Raises:
        DataError: images have values that no rank of the model has.
    """
    theirs = manifest.rank_values
    used = sorted({theirs[rank] for rank in manifest.table["rank"].unique()})
    unknown = [value for value in used if value not in values]
    if unknown:
        missing = _join_values([value for value in values if value not in theirs])
        span = f"{min(values):g}…{max(values):g}"
        raise DataError(
            f"{manifest.name} has {len(theirs)} ranks, the run {len(values)}; "
            f"values only in {manifest.name}: {_join_values(unknown)}; only in the run: {missing}\n"
            "  what to do: give the same ranks the same values (dataset.rank_values=[…]), or leave out the "
            f"others: ages outside {span} by dataset.first_age, dataset.last_age and dataset.outside=leave_out"
        )
    place = {value: rank for rank, value in enumerate(values)}
    rank = manifest.table["rank"].map(lambda rank: place[theirs[rank]]).astype("int64")
    table = manifest.table.assign(rank=rank).drop(columns="labels", errors="ignore")  # ranks in the old order
    return replace(manifest, table=table, rank_names=tuple(names), rank_values=tuple(values))


def unit_note(manifest: Manifest, unit: str) -> list[str]:
    """Returns a note if a data set's values are in another unit than a model's, so that equal numbers may differ.

    Args:
        manifest: with its own unit.
        unit: of the model's values; empty if unknown.
    """
    if not unit or not manifest.unit or manifest.unit == unit:
        return []
    return [f"ranks are matched by their values, and {manifest.name}'s are in {manifest.unit}, the run's in {unit}"]


def _join_values(values: Sequence[float]) -> str:
    more = f" … and {len(values) - _NUM_LISTED_VALUES} more" if len(values) > _NUM_LISTED_VALUES else ""
    return ", ".join(f"{value:g}" for value in values[:_NUM_LISTED_VALUES]) + more or "none"
