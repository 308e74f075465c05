"""Digits: scikit-learn's 1,797 handwritten digits of 8 by 8 pixels, ranked by their value."""

from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.system.files import write_atomically

RANK_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def load_digits(*, on_error: Literal["raise", "skip"] = "raise", data_dir: Path, cache_dir: Path) -> Manifest:
    """Write the digits as PNGs to the folder `digits` of `data_dir` once, then load these."""
    root = data_dir / "digits"
    labels = root / "labels.csv"
    if not labels.exists():
        _write_digits(root)
    return build_manifest(
        pd.read_csv(labels, dtype={"path": "str", "rank": "int64"}),
        name="digits",
        rank_names=RANK_NAMES,
        rank_values=range(10),
        unit="digit",
        root=root,
        cache_dir=cache_dir,
        on_error=on_error,
    )


def _write_digits(root: Path) -> None:
    import sklearn.datasets  # takes over a second to import, and is only needed once
    from PIL import Image

    digits = sklearn.datasets.load_digits()
    rows = []
    for index, (pixels, rank) in enumerate(zip(digits.images, digits.target, strict=True)):
        picture = Image.fromarray((pixels * (255 / 16)).round().astype("uint8"))
        name = f"{index:04d}.png"
        write_atomically(root / name, lambda part, picture=picture: picture.save(part, "PNG"))  # type: ignore[misc]
        rows.append({"path": name, "rank": int(rank)})
    # Written last: if it exists, all images do.
    write_atomically(root / "labels.csv", lambda part: pd.DataFrame(rows).to_csv(part, index=False))
