"""GDRBench: eight public sets of photos of the retina under one scale, for training on some and testing on others.

Che et al., "Towards generalizable diabetic retinopathy grading in unseen domains", MICCAI 2023.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.image_files import walk_images
from ordinalclip.datasets.layout import Source, check_list, contents, find_root
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.table_files import read_list
from ordinalclip.errors import ConfigError

# In the order of the grades, which is not alphabetical.
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
    """Load some of the sets, by their lists `splits/<SET>_{train,crossval}.txt`; `source` is an attribute.

    `root` has the folders `images` and `splits`.

    Options:
        sources: the training sets: their train lists are the training split, their crossval lists val.
        targets: the test sets, with both of their lists; null tests on the sources' crossval lists, and
            protocol=carve_val takes val from their train lists.
    """
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="GDRBench", needs=["images", "splits"])
    for name in (*sources, *(targets or ())):
        for part in ("train", "crossval"):
            check_list(source, f"splits/{name}_{part}.txt")
    tables = [_read_set(source, name, "sources", {"train": "train", "crossval": "val"}) for name in sources]
    if targets is None:
        tables = [table.replace({"split": {"val": "test"}}) for table in tables]
    for name in targets or ():
        if name in sources:
            raise ConfigError("dataset.targets", name, "is among the sources, too", allowed="another set than those")
        tables.append(_read_set(source, name, "targets", {"train": "test", "crossval": "test"}))
    table = pd.concat(tables, ignore_index=True)
    source.require([f"images/{path}" for path in table["path"]], "images that its lists name")
    source.notes.extend(_unlisted(source.root, table))
    source = replace(source, root=source.root / "images")
    return build_manifest(
        table, name="gdrbench", rank_names=rank_names, rank_values=rank_values, unit=unit, **source.options
    )


def _read_set(source: Source, name: str, key: str, splits: dict[str, str]) -> pd.DataFrame:
    tables = []
    for part, split in splits.items():
        file = source.root / "splits" / f"{name}_{part}.txt"
        if not file.is_file():
            there = ", ".join(sorted({path.name.rpartition("_")[0] for path in file.parent.glob("*_train.txt")}))
            allowed = there or f"none: {file.parent} holds {contents(file.parent)}"
            raise ConfigError(f"dataset.{key}", name, f"there is no {file}", allowed=allowed, remedy=source.obtain)
        rows = read_list(file, len(FOLDERS)).drop(columns="labels")
        folders = rows["path"].str.split("/").str[-2]
        other = (folders != rows["rank"].map(dict(enumerate(FOLDERS)))).to_numpy()
        wrong = [f"{path} {rank}" for path, rank in zip(rows["path"][other], rows["rank"][other], strict=True)]
        order = ", ".join(f"{rank} {folder}" for rank, folder in enumerate(FOLDERS))
        problem = f"lines have a grade that is not their folder's ({order})"
        refuse(file, wrong, problem, remedy="copy the lists and the images again")
        tables.append(rows.assign(split=split, source=name, raw=folders))
    return pd.concat(tables, ignore_index=True)


def _unlisted(top: Path, table: pd.DataFrame) -> list[str]:
    """A note for each set whose folder has images that are in none of its lists."""
    notes = []
    for name, rows in table.groupby("source", sort=False):
        folder = top / "images" / str(name)
        more = sorted({f"{name}/{path}" for path in walk_images(folder)[0]} - set(rows["path"]))
        if more:
            notes.append(f"{len(more):,} images of {name} are in none of its lists: {', '.join(more[:5])}")
    return notes
