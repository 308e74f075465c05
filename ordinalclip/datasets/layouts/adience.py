"""Adience: faces from Flickr in eight age groups, in the five folds that it was published with.

Eidinger, Enbar and Hassner, "Age and gender estimation of unfiltered faces", TIFS 2014. On registration.
"""

import io
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.ages import SEX
from ordinalclip.datasets.bad_rows import usable
from ordinalclip.datasets.layout import Source, find_root, unlike_published
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.table_files import read_table, require_columns
from ordinalclip.errors import DataError

LABELS = "adience_labels_v1.csv"
NUM_FOLDS = 5
NAMES = ("0 to 2", "4 to 6", "8 to 12", "15 to 20", "25 to 32", "38 to 43", "48 to 53", "60 to 100")
VALUES = (1, 5, 10, 17.5, 28.5, 40.5, 50.5, 80)
PREFIX = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}
COLUMNS = ("user_id", "original_image", "face_id", "age", "gender")


def load_adience(
    *,
    root: str,
    images: Literal["aligned", "faces"] = "aligned",
    frontal: bool = False,
    fold: Annotated[int, Between(0, 4)] = 0,
    labels: Literal["strict", "contained", "nearest", "common"] = "contained",
    md5: Mapping[str, str] | None = None,
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load Adience's folds: one is the test split, the others train; the protocol takes val from these, users whole.

    `root` has `aligned/` or `faces/`, and `fold_0_data.txt` …, which may also be in `folds/`. In the manifest `group`
    is the Flickr user, `subject` a person in that user's albums, `fold` the published one.

    Options:
        images: `aligned` by landmarks, or `faces`, only rotated upright.
        frontal: use the lists `fold_frontal_0_data.txt` … of nearly frontal faces.
        fold: the test fold.
        labels: the column of the table of labels that maps labels such as `(38, 48)` or `23` to ranks.
        md5: file name → the published MD5 of lists; a note says which differ.
    """
    stem = "fold_frontal" if frontal else "fold"
    lists = [f"{stem}_{number}_data.txt" for number in range(NUM_FOLDS)]
    needs = [f"{images}/", *(f"{name}|folds/{name}" for name in lists)]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="Adience", needs=needs)
    folder = source.root
    files = [folder / name if (folder / name).is_file() else folder / "folds" / name for name in lists]
    rows = pd.concat([_read_fold(file, fold=str(number)) for number, file in enumerate(files)], ignore_index=True)
    path = images + "/" + rows["user_id"] + f"/{PREFIX[images]}." + rows["face_id"] + "." + rows["original_image"]
    table = pd.DataFrame(
        {
            "path": path,
            "raw": rows["age"],
            "subject": rows["user_id"] + "/" + rows["face_id"],
            "group": rows["user_id"],
            "sex": rows["gender"].map(SEX).astype("str"),
            "fold": rows["fold"],
            "split": (rows["fold"] == str(fold)).map({True: "test", False: "train"}),
        }
    )
    source.notes.extend(unlike_published(files, md5 or {}))
    table = _ranked(source, table, labels)
    source.require(list(table["path"]), f"images that {stem}_…_data.txt name")
    return build_manifest(table, name="adience", rank_names=NAMES, rank_values=VALUES, unit="year", **source.options)


def _read_fold(file: Path, fold: str) -> pd.DataFrame:
    rows = read_table(file)
    require_columns(rows, file, COLUMNS)
    return rows[list(COLUMNS)].apply(lambda column: column.str.strip()).assign(fold=fold)


def _ranked(source: Source, table: pd.DataFrame, labels: str) -> pd.DataFrame:
    """Map labels to ranks by the table of labels; notes say which were corrected or left out."""
    meaning = _meanings(labels)
    label = table["raw"].fillna("None").map(_canonical)
    unknown = ~label.isin(meaning.index)
    known = usable(
        table.assign(label=label),
        unknown,
        table["path"] + ": " + label,
        source.notes,
        where=source.root,
        problem=f"age labels are not in {LABELS}",
        remedy="see whether the lists are Adience's as published",
        on_error=source.on_error,
    )
    rank = known["label"].map(meaning)
    kept = rank.notna()
    if not kept.any():
        raise DataError(
            f"{source.root}: none of {len(known):,} faces has an age label that {LABELS} ({labels}) gives a rank\n"
            "  what to do: see whether the lists are Adience's as published, or take another dataset.labels"
        )
    corrected = kept & ~known["label"].isin(list(meaning.index[: len(NAMES)]))
    changes = [
        f"{number} × {word} → {NAMES[int(meaning[word])]}" for word, number in _counts(known["label"][corrected])
    ]
    dropped = [f"{number} × {word}" for word, number in _counts(known["label"][~kept])]
    source.notes.append(f"age labels by {LABELS}, column {labels}: " + ("; ".join(changes) or "none to mend"))
    if dropped:
        source.notes.append(
            f"left out {int((~kept).sum()):,} of {len(known):,} faces, whose labels have no rank: {', '.join(dropped)}"
        )
    table = known[kept].drop(columns="label").assign(rank=rank[kept].astype("int64"))
    return table.reset_index(drop=True)


def _meanings(labels: str) -> pd.Series:
    text = (resources.files("ordinalclip.datasets.layouts") / LABELS).read_text(encoding="utf-8")
    table = pd.read_csv(io.StringIO(text), comment="#", dtype="str", keep_default_na=False).set_index("raw")
    return pd.to_numeric(table[labels].replace("", np.nan))


def _canonical(label: str) -> str:
    """Normalize the spelling: `(25 23)` and `(25,23)` become `(25, 23)`."""
    pair = re.fullmatch(r"\((\d+)[\s,]+(\d+)\)", label)
    return f"({pair[1]}, {pair[2]})" if pair else label


def _counts(labels: pd.Series) -> list[tuple[str, int]]:
    return [(str(word), int(number)) for word, number in labels.value_counts().sort_index().items()]
