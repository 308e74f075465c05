"""A data set as a table: one row per image with path, label and split, and the names and values of its R ranks.

`match_ranks` maps a manifest to the ranks of a trained model: a rank is the one with its value.
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

from ordinalclip.datasets.bad_rows import listed, refuse
from ordinalclip.datasets.layout import check_inside
from ordinalclip.errors import DataError
from ordinalclip.images.decoding import inspect_images

__all__ = ["COLUMNS", "SPLITS", "Manifest", "build_manifest"]
ROWS_AT_ONCE = 100_000  # that are held as text, so that memory stays small

SPLITS = ("train", "val", "test")
CALIBRATION = "calibration"  # of val, what no epoch is chosen on: intervals are fitted there
ALL_SPLITS = ("train", "val", CALIBRATION, "test")
COLUMNS = ("path", "rank", "value", "subject", "group", "split", "sha256")
# The label as it was written, which every manifest has; what a data set may have beside: its standard deviation among
# annotators, the ranks that they gave (separated by blanks), the published fold. All further columns are attributes:
# sex, category, source, …
OPTIONAL = {"raw": "str", "deviation": "float64", "labels": "str", "fold": "str"}
WHOLE_SPLIT = "split_before_subset"  # of `take_subset`, where it left anything out
CLEAN_RANK = "rank_before_noise"  # of `subset.label_noise`

_NUM_LISTED = 8


def attribute_columns(columns: Iterable[Hashable]) -> list[str]:
    """Those of a manifest's columns that describe images in the data set's own words."""
    known = {*COLUMNS, *OPTIONAL, WHOLE_SPLIT, CLEAN_RANK}
    return [str(column) for column in columns if column not in known]


@dataclass(frozen=True, eq=False)
class Manifest:
    """Everything the platform knows about a data set.

    Args:
        name: short name, used in directory names.
        table: one row per image with the columns of `COLUMNS`, perhaps some of `OPTIONAL`; further columns are
            attributes. `path` is relative to `root` with forward slashes; `rank` counts from 0; `value` is the label in
            the data set's own unit; `subject`, `group` and, before a protocol is applied, `split` may be NA; `sha256`
            is of the file's bytes.
        rank_names: a word or number per rank, as it stands in a prompt.
        rank_values: a number per rank in `unit`; readouts are expectations over these.
        unit: what `value` is measured in.
        root: the folder that the paths are relative to.
        notes: things to print once and to record with every run.
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
        """SHA-256 over what the images and labels are; where they lie (paths, root) does not enter."""
        columns = ["sha256", "rank", "value", "subject", "group", "split"]
        columns += [name for name in ("labels", "deviation") if name in self.table and self.table[name].notna().any()]
        digest = hashlib.sha256(json.dumps([self.rank_names, self.rank_values]).encode())
        for start in range(0, len(self.table), ROWS_AT_ONCE):
            rows = self.table[columns].iloc[start : start + ROWS_AT_ONCE]
            cells = zip(*(_as_json(rows[name]) for name in columns), strict=True)
            digest.update("".join(f"[{', '.join(row)}]\n" for row in cells).encode())
        return digest.hexdigest()

    @property
    def attributes(self) -> list[str]:
        """Names of the columns that describe images in the data set's own words."""
        return attribute_columns(self.table)

    def ranks(self) -> dict[str, Any]:
        """What the ranks are, for a run's record: `names`, `values`, `unit`."""
        return {"names": list(self.rank_names), "values": list(self.rank_values), "unit": self.unit}

    def files(self) -> list[Path]:
        """The images' full paths, in the table's order."""
        return [self.root / path for path in self.table["path"]]

    def hashes(self) -> np.ndarray:
        """The images' SHA-256 [N], in the table's order."""
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
    """Check a loader's table, look at every image, and make the manifest; all loaders end here.

    Args:
        table: at least `path` and `rank`; `value` defaults to the rank's value, `raw` to how that is written, the other
            columns to NA. Those of `OPTIONAL` are given their types, all further ones are kept as attributes.
        name: see `Manifest`, as are `rank_names`, `rank_values`, `unit`, `root` and `notes`.
        rank_names: one per rank.
        rank_values: one per rank.
        unit: of the values.
        root: folder of the images.
        cache_dir: where the inspection of the images is remembered.
        on_error: "raise", or "skip" to leave broken images out and say so in the notes.
        allow_outside: let paths lead out of `root`, through `..`, as absolute paths or by symbolic links.
        notes: what the loader has to say.

    Raises:
        DataError: ranks out of range, a path that occurs twice or leads out of `root`, or images that cannot be read,
            all named at once.
    """
    num_ranks = len(rank_names)
    if len(rank_values) != num_ranks:
        raise DataError(f"{name}: {num_ranks} rank names but {len(rank_values)} rank values; give one of each per rank")
    if table.empty:
        raise DataError(f"{name}: the table has no rows; it needs at least one image in each split")
    table = table.reset_index(drop=True)
    _check_ranks(table, num_ranks, name)
    _check_duplicates(table, name)
    check_inside(root, table["path"].tolist(), allow_outside=allow_outside)
    inspected = inspect_images([os.path.join(root, path) for path in table["path"]], cache_dir)
    table["sha256"] = inspected["sha256"]
    broken = inspected["error"].notna()
    if broken.any():
        errors = zip(table["path"][broken], inspected["error"][broken], strict=True)
        told = listed([f"{path}: {error}" for path, error in errors])
        if on_error == "raise" or broken.all():
            remedy = "mend these files or take their rows out, or go on without them: dataset.on_error=skip"
            if broken.all():  # there is nothing to go on with
                remedy = "see whether dataset.root is the right folder, and the images are unpacked"
            raise DataError(
                f"{name}: {broken.sum()} of {len(table)} images under {root} cannot be used:\n{told}\n"
                f"  what to do: {remedy}"
            )
        notes = [*notes, f"skipped {broken.sum()} of {len(table)} images that cannot be used:\n{told}"]
        table = table[~broken].reset_index(drop=True)
    table["rank"] = table["rank"].astype("int64")
    if "value" not in table:
        table["value"] = np.asarray(rank_values, dtype=float)[table["rank"].to_numpy()]
    table["value"] = table["value"].astype("float64")
    if "raw" not in table:  # made, or written as the value is
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
    if len(wrong):
        told = listed([f"{path}: rank {rank}" for path, rank in zip(wrong["path"], wrong["rank"], strict=True)])
        raise DataError(
            f"{name}: {len(wrong)} rows have a rank outside 0…{num_ranks - 1}:\n{told}\n"
            "  what to do: correct these labels, or take the rows out"
        )


def _check_duplicates(table: pd.DataFrame, name: str) -> None:
    counts = table["path"].value_counts()
    counts = counts[counts > 1]
    if len(counts):
        told = listed([f"{path}: {count} rows" for path, count in counts.items()])
        raise DataError(
            f"{name}: {len(counts)} paths occur more than once:\n{told}\n"
            "  what to do: keep one row for each image, so that none is tested that was trained on"
        )


def _check_labels(table: pd.DataFrame, num_ranks: int, name: str) -> None:
    """Annotators' labels are ranks, at least one in a row; there are few different lists of them in a column."""
    allowed = {str(rank) for rank in range(num_ranks)}
    wrong = [
        labels
        for labels in table["labels"].unique()
        if pd.isna(labels) or not labels.split(" ") or not set(labels.split(" ")) <= allowed
    ]
    rows = table[table["labels"].isin(wrong)]
    told = [f"{path}: {labels}" for path, labels in zip(rows["path"], rows["labels"], strict=True)]
    problem = f"rows have labels that are not ranks 0…{num_ranks - 1} separated by single blanks"
    refuse(name, told, problem, remedy="correct the column labels, or leave it out")


def _as_json(column: pd.Series) -> list[str]:
    """Each cell as `json.dumps` writes it, an NA as null; equal cells are written once."""
    codes, cells = pd.factorize(column.astype(object))
    words = [encode_basestring_ascii(cell) if isinstance(cell, str) else json.dumps(_python(cell)) for cell in cells]
    words.append("null")  # the code of an NA is -1
    return [words[code] for code in codes]


def _python(cell: Hashable) -> object:
    return cell.item() if isinstance(cell, np.generic) else cell


def match_ranks(manifest: Manifest, names: Sequence[str], values: Sequence[float]) -> Manifest:
    """A data set with its ranks in a model's order, matched by their values.

    Args:
        manifest: with its own ranks, which may be some of the model's.
        names: of the model's R ranks, which the data set takes over.
        values: of the model's R ranks.

    Raises:
        DataError: images have values that none of the model's ranks has; it says which.
    """
    theirs = manifest.rank_values
    used = sorted({theirs[rank] for rank in manifest.table["rank"].unique()})
    unknown = [value for value in used if value not in values]
    if unknown:
        here = _listed([value for value in values if value not in theirs])
        span = f"{min(values):g}…{max(values):g}"
        raise DataError(
            f"{manifest.name} has {len(theirs)} ranks, the run {len(values)}; "
            f"values only in {manifest.name}: {_listed(unknown)}; only in the run: {here}\n"
            "  what to do: give the same ranks the same values (dataset.rank_values=[…]), or leave out what the run "
            f"has no rank for: ages beyond {span} by dataset.first_age, dataset.last_age and dataset.outside=leave_out"
        )
    place = {value: rank for rank, value in enumerate(values)}
    rank = manifest.table["rank"].map(lambda rank: place[theirs[rank]]).astype("int64")
    table = manifest.table.assign(rank=rank).drop(columns="labels", errors="ignore")  # they are ranks of the old order
    return replace(manifest, table=table, rank_names=tuple(names), rank_values=tuple(values))


def unit_note(manifest: Manifest, unit: str) -> list[str]:
    """A note where a data set's values are in another unit than a model's, so that equal numbers may mean other things.

    Args:
        manifest: with its own unit.
        unit: of the model's values; empty where it is not known.
    """
    if not unit or not manifest.unit or manifest.unit == unit:
        return []
    return [f"ranks are matched by their values, and {manifest.name}'s are in {manifest.unit}, the run's in {unit}"]


def _listed(values: Sequence[float]) -> str:
    more = f" … and {len(values) - _NUM_LISTED} more" if len(values) > _NUM_LISTED else ""
    return ", ".join(f"{value:g}" for value in values[:_NUM_LISTED]) + more or "none"
