"""Historical Color Images: photos in a folder for each decade, as its archive unpacks or as mirrors lay it out.

Palermo, Hays and Efros, "Dating historical color images", ECCV 2012.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.image_files import walk_images
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest, build_manifest

# Parents of the decades' folders: in the archive, in mirrors, and if `root` is this folder itself.
PLACES = ("data/imgs/decade_database", "data/imgs/decades", ".")
NUM_VAL, NUM_TEST, NUM_ALL = 5, 50, 265  # of a decade


def load_hci(
    *,
    root: str,
    fold: Annotated[int, Between(0, 9)] | None = 0,
    decades: Sequence[str],
    rank_names: Sequence[str],
    rank_values: Sequence[float],
    unit: str = "year",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "skip",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load the decades' folders, and split them as papers describe it: 210, 5 and 50 images of each decade's 265.

    The papers' ten random splits are not published. Here a decade's images are sorted by the SHA-256 of
    "<fold> <decade>/<file>"; the first 50 are test and the next 5 val, the same on every machine. If a decade has
    another number of images, the same shares of it are used.

    Options:
        root: the unpacked archive, or a mirror of it.
        fold: which of the ten splits; null leaves the split to the protocol.
        decades: names of the folders, in order.
        on_error: "skip" by default, since a few of the published files cannot be decoded.
    """
    needs = ["|".join((*PLACES[:2], decades[0]))]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="HCI", needs=needs)
    top = next(source.root / place for place in PLACES if (source.root / place).is_dir())
    source = replace(source, root=top)
    images = {decade: [f"{decade}/{path}" for path in walk_images(top / decade)[0]] for decade in decades}
    remedy = "unpack the archive again" + (f"; {obtain}" if obtain else "")
    refuse(top, [decade for decade, paths in images.items() if not paths], "decades have no image", remedy=remedy)
    rows = []
    for rank, paths in enumerate(images.values()):
        splits = [None] * len(paths) if fold is None else _splits(paths, fold)
        rows += [
            {"path": path, "rank": rank, "raw": decades[rank], "split": split}
            for path, split in zip(paths, splits, strict=True)
        ]
    counts = {decade: len(paths) for decade, paths in images.items()}
    if set(counts.values()) != {NUM_ALL}:
        found = ", ".join(f"{count} in the {decade}" for decade, count in counts.items())
        source.notes.append(f"the published set has {NUM_ALL} images of each decade; here there are {found}")
    table = pd.DataFrame(rows).astype({"split": "str"})
    return build_manifest(
        table, name="hci", rank_names=rank_names, rank_values=rank_values, unit=unit, **source.options
    )


def _splits(images: Sequence[str], fold: int) -> list[str]:
    """The split of each image of a decade."""
    order = sorted(images, key=lambda path: (hashlib.sha256(f"{fold} {path}".encode()).hexdigest(), path))
    num_test = round(len(images) * NUM_TEST / NUM_ALL)
    num_val = max(round(len(images) * NUM_VAL / NUM_ALL), 1)
    split = {path: "test" for path in order[:num_test]}
    split |= {path: "val" for path in order[num_test : num_test + num_val]}
    return [split.get(path, "train") for path in images]
