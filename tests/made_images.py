"""Small images of every kind in files, and their manifest. Used by the tests of the caches."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.images.preprocessing import Preprocessing

SIZES = [(20, 24), (31, 20), (16, 16), (18, 18), (50, 17), (9, 12)]
MODES = ["RGB", "L", "RGBA", "P", "LA", "I;16"]


def write_images(root: Path, number: int, *, first: int = 0) -> Manifest:
    """Noise of many sizes and modes, some turned by EXIF, under names with spaces and umlauts."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f"bild ä {index}.png" for index in range(first, first + number)]
    for index, name in enumerate(names, start=first):
        _noise(index).save(root / name, **_turned(index))
    return manifest_of(root, names)


# Tags beside Orientation (kind, count, 4 bytes) that Pillow cannot read or write again, by name.
ODD_TAGS = {
    "resolution as text": (0x011A, 2, 4, b"72\0\0"),
    "text beyond the end, before Orientation": (0x010E, 2, 100, struct.pack("<L", 90_000)),
    "size of 4 GiB": (0x010F, 2, 2**32 - 1, struct.pack("<L", 8)),
    "unknown kind": (0x0110, 99, 1, b"abcd"),
    "date as a float": (0x0132, 11, 1, b"\xff\xff\xff\xff"),
    "rational without its denominator": (0x011A, 5, 1, struct.pack("<L", 40)),
    "EXIF folder beyond the end": (0x8769, 4, 1, struct.pack("<L", 2**32 - 9)),
    "GPS folder as text": (0x8825, 2, 4, b"0,0\0"),
}


def odd_exif(tag: tuple[int, int, int, bytes], *, header: bytes = b"II*\0") -> bytes:
    """EXIF with Orientation 6 and another tag."""
    tags = sorted([(0x0112, 3, 1, struct.pack("<HH", 6, 0)), tag])
    fields = b"".join(struct.pack("<HHL", *tag[:3]) + tag[3] for tag in tags)
    return b"Exif\0\0" + header + struct.pack("<LH", 8, len(tags)) + fields + bytes(4)


def manifest_of(root: Path, names: list[str]) -> Manifest:
    """A manifest of files, all of rank 0 in no split."""
    hashes = [hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names]
    columns = {"path": names, "rank": 0, "value": 0.0, "subject": None, "group": None, "split": None, "sha256": hashes}
    return Manifest("noise", pd.DataFrame(columns), ("a",), (0.0,), "", root, ())


def select(manifest: Manifest, rows: list[int]) -> Manifest:
    """Some rows in another order."""
    table = manifest.table.iloc[rows].reset_index(drop=True)
    return Manifest("part", table, manifest.rank_names, manifest.rank_values, "", manifest.root, ())


def augmented(preprocessing: Preprocessing, image: Image.Image, generator: torch.Generator) -> Tensor:
    """Input [3, S, S] of a random crop of one image, flipped or not: what `crop_batch` computes, with Pillow."""
    image = preprocessing.scale(image, round(preprocessing.size * 8 / 7))
    across, down, flip = torch.rand(3, generator=generator).tolist()
    left, top = (
        int(share * (side - preprocessing.size + 1)) for share, side in zip((across, down), image.size, strict=True)
    )
    image = image.crop((left, top, left + preprocessing.size, top + preprocessing.size))
    return preprocessing.normalize(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip < 0.5 else image)


def _noise(index: int) -> Image.Image:
    width, height = SIZES[index % len(SIZES)]
    mode = MODES[index // 2 % len(MODES)]
    random = np.random.default_rng(index)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65536, (height, width), dtype=np.uint16))
    colour = Image.fromarray(random.integers(0, 256, (height, width, 4), dtype=np.uint8), mode="RGBA")
    return colour.convert("L").convert("LA") if mode == "LA" else colour.convert(mode)


def _turned(index: int) -> dict[str, Image.Exif]:
    exif = Image.Exif()
    exif[0x0112] = 6 if index % 5 == 0 else 1
    return {"exif": exif}
