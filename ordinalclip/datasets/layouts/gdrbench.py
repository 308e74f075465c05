"""GDRBench: eight public sets of photos of the retina under one scale, for training on some and testing on others.

Che et al., "Towards generalizable diabetic retinopathy grading in unseen domains", MICCAI 2023.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.image_files import walk_images
from ordinalclip.datasets.layout import check_list, contents, find_root, require_files
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.table_files import read_list
from ordinalclip.errors import ConfigError

# In the order of the grades. That of the alphabet, which a reader of class folders would take, is another.
FOLDERS = ("nodr", "mild_npdr", "moderate_npdr", "severe_npdr", "pdr")


def load_gdrbench(
    *,
    root: str,
    sources: Sequence[str],
    targets: Sequence[str] | None = None,
    rank_names: Sequence[str],
    rank_values: Sequence[float],
    unit: str = "grade",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read the sets that are asked for, by their lists `splits/<SET>_{train,crossval}.txt`.

    Args:
        root: with the folders `images` and `splits`.
        sources: the sets to train on: their train lists are the training split, their crossval lists val.
        targets: the sets to test on, with both of their lists; null tests on the sources' crossval lists, and
            protocol=carve_val takes val from their train lists.
        rank_names: of the five grades.
        rank_values: of the five grades.
        unit: of the values.
        obtain: where the data come from.
        on_error: "raise" about missing and broken images, or "skip" and note them.
        allow_outside: let paths lead out of the folder of the images, by symbolic links say.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        A manifest of five ranks with its split; `source` is the set that an image comes from.

    Raises:
        ConfigError: where there is no such folder, or no such set.
        DataError: for lists that cannot be used, contradict the folders, or name images that are missing.
    """
    top = find_root(root, name="GDRBench", needs=["images", "splits"], obtain=obtain, allow_outside=allow_outside)
    for name in (*sources, *(targets or ())):
        for part in ("train", "crossval"):
            check_list(top, f"splits/{name}_{part}.txt", allow_outside=allow_outside)
    tables = [_read_set(top, name, "sources", {"train": "train", "crossval": "val"}, obtain) for name in sources]
    if targets is None:
        tables = [table.replace({"split": {"val": "test"}}) for table in tables]
    for name in targets or ():
        if name in sources:
            raise ConfigError("dataset.targets", name, "is among the sources, too", allowed="another set than those")
        tables.append(_read_set(top, name, "targets", {"train": "test", "crossval": "test"}, obtain))
    table = pd.concat(tables, ignore_index=True)
    if on_error == "raise":
        require_files(
            top, [f"images/{path}" for path in table["path"]], what="images that its lists name", obtain=obtain
        )
    return build_manifest(
        table,
        name="gdrbench",
        rank_names=rank_names,
        rank_values=rank_values,
        unit=unit,
        root=top / "images",
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=_unlisted(top, table),
    )


def _read_set(top: Path, name: str, key: str, splits: dict[str, str], obtain: str) -> pd.DataFrame:
    tables = []
    for part, split in splits.items():
        file = top / "splits" / f"{name}_{part}.txt"
        if not file.is_file():
            there = ", ".join(sorted({path.name.rpartition("_")[0] for path in file.parent.glob("*_train.txt")}))
            allowed = there or f"none: {file.parent} holds {contents(file.parent)}"
            raise ConfigError(f"dataset.{key}", name, f"there is no {file}", allowed=allowed, remedy=obtain)
        rows = read_list(file, len(FOLDERS)).drop(columns="labels")
        folders = rows["path"].str.split("/").str[-2]
        other = (folders != rows["rank"].map(dict(enumerate(FOLDERS)))).to_numpy()
        told = [f"{path} {rank}" for path, rank in zip(rows["path"][other], rows["rank"][other], strict=True)]
        order = ", ".join(f"{rank} {folder}" for rank, folder in enumerate(FOLDERS))
        refuse(
            file,
            told,
            f"lines have a grade that is not their folder's ({order})",
            remedy="copy the lists and the images again",
        )
        tables.append(rows.assign(split=split, source=name, raw=folders))
    return pd.concat(tables, ignore_index=True)


def _unlisted(top: Path, table: pd.DataFrame) -> list[str]:
    """A note for each set whose folder has images that no list names."""
    notes = []
    for name, rows in table.groupby("source", sort=False):
        folder = top / "images" / str(name)
        more = sorted({f"{name}/{path}" for path in walk_images(folder)[0]} - set(rows["path"]))
        if more:
            notes.append(f"{len(more):,} images of {name} are in none of its lists: {', '.join(more[:5])}")
    return notes
