"""MedMNIST's .npz files: images and labels in one archive, with splits; RetinaMNIST is its ordinal one.

Yang et al., "MedMNIST v2", Scientific Data 10, 2023.
"""

import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from ordinalclip.datasets.manifest import SPLITS, Manifest, build_manifest
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.system.files import write_atomically
from ordinalclip.system.terminal import progress


def load_medmnist(
    *,
    path: str | None,
    rank_names: Sequence[str] | None,
    rank_values: Sequence[float] | None = None,
    order: Sequence[int] | None = None,
    unit: str = "grade",
    md5: Mapping[str, str] | None = None,
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Write the archive's images as PNGs once, then load these, with the archive's split.

    The images are written to the folder `medmnist` of `data_dir`, below the name and hash of the archive.

    Options:
        path: the .npz file; any of the published sizes.
        rank_values: by default 0…R-1.
        order: the archive's labels from the lowest rank to the highest; by default 0…R-1.
        md5: file name → the published MD5; a file with another one is refused.
    """
    allowed = "a .npz file of MedMNIST, such as retinamnist.npz or retinamnist_224.npz"
    file = None if path is None else Path(path).expanduser().absolute()
    if file is None or not file.is_file():
        problem = "which file?" if file is None else f"there is no file {file}"
        raise ConfigError("dataset.path", path, problem, allowed=allowed, remedy=obtain)
    if rank_names is None:
        raise ConfigError("dataset.rank_names", None, "what are the ranks called?", allowed="a list, the lowest first")
    digest = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    published = (md5 or {}).get(file.name)
    if published not in (None, digest):
        raise DataError(
            f"{file}: its MD5 is {digest}, that of the published file {published}\n"
            "  what to do: copy it again; another version of it goes under another name"
        )
    labels = list(range(len(rank_names))) if order is None else list(order)
    values = [float(rank) for rank in range(len(rank_names))] if rank_values is None else rank_values
    for key, given in (("order", labels), ("rank_values", values)):
        if len(given) != len(rank_names) or len(set(given)) != len(given):
            problem = f"is not one for each of the {len(rank_names)} rank names"
            raise ConfigError(f"dataset.{key}", list(given), problem, allowed="as many, all different")
    root = data_dir / "medmnist" / f"{file.stem}-{digest[:10]}"
    if not (root / "labels.csv").exists():
        _write_images(file, root)
    table = pd.read_csv(root / "labels.csv", dtype={"path": "str", "label": "int64", "split": "str"})
    found = set(table["label"])
    if not found <= set(labels):
        odd = ", ".join(map(str, sorted(found - set(labels))))
        allowed = f"one name for each of the labels {', '.join(map(str, sorted(found)))}"
        raise ConfigError("dataset.rank_names", list(rank_names), f"{file.name} has labels {odd}, too", allowed=allowed)
    table["raw"] = table["label"].astype("str")
    table["rank"] = table.pop("label").map({label: rank for rank, label in enumerate(labels)})
    return build_manifest(
        table,
        name=file.stem,
        rank_names=rank_names,
        rank_values=values,
        unit=unit,
        root=root,
        cache_dir=cache_dir,
        on_error=on_error,
    )


def _write_images(file: Path, root: Path) -> None:
    rows = []
    for split in SPLITS:
        images, labels = _read(file, f"{split}_images"), _read(file, f"{split}_labels")
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
            raise DataError(f"{file}: {split}_images are {images.dtype} {list(images.shape)}, not pictures of 8 bits")
        if labels.shape not in ((len(images),), (len(images), 1)) or labels.dtype.kind not in "iu":
            found = f"{labels.dtype} {list(labels.shape)}"
            raise DataError(
                f"{file}: {split}_labels are {found}, not one whole number for each of {len(images)} images"
            )
        names = [f"{split}/{index:06d}.png" for index in range(len(images))]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            done = pool.map(_write_one, [root / name for name in names], images)
            for _ in progress(f"writing {file.stem}, {split}", len(images), " images", iterable=done):
                pass
        rows.append(pd.DataFrame({"path": names, "label": labels.reshape(-1), "split": split}))
    table = pd.concat(rows)
    # Written last: if it exists, all images do.
    write_atomically(root / "labels.csv", lambda part: table.to_csv(part, index=False))


def _write_one(path: Path, pixels: np.ndarray) -> None:
    picture = Image.fromarray(pixels)
    write_atomically(path, lambda part: picture.save(part, "PNG"))


def _read(file: Path, key: str) -> np.ndarray:
    remedy = "what to do: it takes the published archives of two-dimensional sets; copy it again"
    try:
        # np.load leaves a broken file open, so it is opened here. allow_pickle is off: no code is run.
        with file.open("rb") as stream, np.load(stream) as archive:
            found: np.ndarray = archive[key]
    except KeyError:
        raise DataError(f"{file}: has no {key}\n  {remedy}") from None
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: cannot be read: {error}\n  {remedy}") from None
    return found
