"""Corrupted images at five severities, to measure robustness: blur, noise, JPEG, low resolution.

Noise depends on an image's content alone, so a corrupted data set is the same everywhere.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.images.decoding import open_rgb
from ordinalclip.system.files import write_atomically
from ordinalclip.system.terminal import progress

SEVERITIES = (1, 2, 3, 4, 5)
# One value per severity.
BLUR = (0.004, 0.008, 0.012, 0.02, 0.03)  # standard deviation of a Gaussian as a share of the shorter side
NOISE = (0.04, 0.08, 0.12, 0.18, 0.26)  # standard deviation of Gaussian noise as a share of a channel's range
JPEG = (25, 18, 15, 10, 7)  # Pillow's quality
RESOLUTION = (0.5, 0.35, 0.25, 0.15, 0.1)  # factor of both sides, which are resized back


def corrupt(image: Image.Image, kind: str, severity: int, seed: int) -> Image.Image:
    """Returns a corrupted RGB image of the same size.

    Args:
        image: RGB.
        kind: one of `KINDS`.
        severity: 1…5.
        seed: of the noise.
    """
    return KINDS[kind](image, severity - 1, seed)


def corrupt_manifest(manifest: Manifest, kind: str, severity: int, split: str, cache_dir: Path) -> Manifest:
    """Returns a data set whose images in a split are corrupted, with new paths, root and hashes.

    Corrupted images are cached as PNG files in `<cache_dir>/corrupted/<kind>-<severity>/`, named by the SHA-256 of the
    original.

    Args:
        manifest: with its split.
        kind: one of `KINDS`.
        severity: 1…5.
        split: name of the split, or "all".
        cache_dir: the platform's cache.
    """
    table = manifest.table
    rows = np.arange(len(table)) if split == "all" else np.flatnonzero((table["split"] == split).to_numpy())
    root = cache_dir / "corrupted" / f"{kind}-{severity}"
    files, hashes = manifest.files(), manifest.hashes()
    paths = [str(file.absolute()) for file in files]  # images that are not corrupted are outside the new root
    with progress(f"{kind} of severity {severity}", len(rows), " images") as bar:
        for row in rows:
            name = f"{hashes[row][:2]}/{hashes[row]}.png"
            if not (root / name).is_file():
                corrupted = corrupt(open_rgb(files[row]), kind, severity, int(hashes[row][:8], 16))
                write_atomically(root / name, partial(corrupted.save, format="PNG"))
            paths[row], hashes[row] = name, hashlib.sha256((root / name).read_bytes()).hexdigest()
            bar.update()
    corrupted_table = table.assign(path=pd.Series(paths, dtype="str"), sha256=pd.Series(hashes, dtype="str"))
    return replace(manifest, name=f"{manifest.name}-{kind}{severity}", table=corrupted_table, root=root)


def _blur(image: Image.Image, level: int, seed: int) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(BLUR[level] * min(image.size)))


def _noise(image: Image.Image, level: int, seed: int) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float64)
    noisy = pixels + np.random.default_rng(seed).normal(0, 255 * NOISE[level], pixels.shape)
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, level: int, seed: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG[level])
    return Image.open(stream).convert("RGB")


def _resolution(image: Image.Image, level: int, seed: int) -> Image.Image:
    small = tuple(max(1, round(side * RESOLUTION[level])) for side in image.size)
    return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BILINEAR)  # type: ignore[arg-type]


KINDS: dict[str, Callable[[Image.Image, int, int], Image.Image]] = {
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "resolution": _resolution,
}
