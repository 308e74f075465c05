"""Historical Color Images: photos in a folder for each decade, as its archive unpacks or as mirrors lay it out.

Palermo, Hays and Efros, "Dating historical color images", ECCV 2012.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.image_files import walk_images
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest, build_manifest

# Where the decades' folders lie: in the archive, in mirrors, and where one of these was named itself.
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
    """Read the decades' folders, and split them as papers describe it: 210, 5 and 50 images of each decade's 265.

    The papers' own ten random splits are not published. Ours order a decade's images by the SHA-256 of
    "<fold> <decade>/<file>", take the first 50 for test and the next 5 for val, so that they are the same everywhere;
    where a decade has another number of images, the same shares of it.

    Args:
        root: the unpacked archive, or a mirror of it.
        fold: which of the ten splits; null leaves the split to the protocol.
        decades: names of the folders, in order.
        rank_names: a word per decade.
        rank_values: a year per decade.
        unit: of the values.
        obtain: where the data come from.
        on_error: "raise" about broken images, or "skip" and note them, since a few of its files fail to open.
        allow_outside: let paths lead out of the folder of the images, by symbolic links say.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        A manifest of five ranks with its split.

    Raises:
        ConfigError: where there is no such folder.
        DataError: where decades are missing or empty.
    """
    places = "|".join((*PLACES[:2], decades[0]))
    top = find_root(root, name="HCI", needs=[places], obtain=obtain, allow_outside=allow_outside)
    top = next(top / place for place in PLACES if (top / place).is_dir())
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
    notes = []
    if set(counts.values()) != {NUM_ALL}:
        told = ", ".join(f"{count} in the {decade}" for decade, count in counts.items())
        notes.append(f"the published set has {NUM_ALL} images of each decade; here there are {told}")
    return build_manifest(
        pd.DataFrame(rows).astype({"split": "str"}),
        name="hci",
        rank_names=rank_names,
        rank_values=rank_values,
        unit=unit,
        root=top,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=notes,
    )


def _splits(images: Sequence[str], fold: int) -> list[str]:
    """The split of each image of a decade."""
    order = sorted(images, key=lambda path: (hashlib.sha256(f"{fold} {path}".encode()).hexdigest(), path))
    num_test = round(len(images) * NUM_TEST / NUM_ALL)
    num_val = max(round(len(images) * NUM_VAL / NUM_ALL), 1)
    split = {path: "test" for path in order[:num_test]}
    split |= {path: "val" for path in order[num_test : num_test + num_val]}
    return [split.get(path, "train") for path in images]
