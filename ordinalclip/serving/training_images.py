"""A run's training images: those with the ranks nearest to a predicted rank, and their thumbnails."""

import io
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ordinalclip.errors import DataError
from ordinalclip.images.decoding import DEFAULT_LIMITS, Limits, read_rgb

THUMBNAIL_SIZE = 224  # pixels of the longer side
_CACHED_THUMBNAILS = 256


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The training images of one run.

    Attributes:
        root: Folder of the relative paths. Files outside it are never opened.
        paths: Paths [N].
        ranks: Ranks [N] used in training.
        limits: Limits of image files.
    """

    root: Path
    paths: tuple[str, ...]
    ranks: npt.NDArray[np.integer]
    limits: Limits = field(default=DEFAULT_LIMITS)

    def nearest(self, rank: int, count: int) -> list[int]:
        """Returns the indices of the `count` images with the nearest ranks, nearest first.

        If more images have the same distance than are needed, they are sampled at even steps, because consecutive
        images of many data sets show the same subject.
        """
        distance = np.abs(self.ranks.astype(np.int64) - rank)
        chosen: list[int] = []
        for step in np.unique(distance):
            candidates, missing = np.flatnonzero(distance == step), count - len(chosen)
            if len(candidates) > missing:
                candidates = candidates[np.linspace(0, len(candidates) - 1, missing).round().astype(int)]
            chosen += candidates.tolist()
            if len(chosen) == count:
                break
        return chosen

    def file(self, number: int) -> Path | None:
        """Returns an image's file; None if it is missing or outside the root."""
        if not 0 <= number < len(self.paths):
            return None
        try:
            path = (self.root / self.paths[number]).resolve()
            return path if path.is_relative_to(self.root.resolve()) and path.is_file() else None
        except (OSError, ValueError, RuntimeError):  # unreadable folder, NUL byte, loop of links
            return None

    def thumbnail(self, number: int) -> bytes | None:
        """Returns a JPEG thumbnail of an image; None if it cannot be read."""
        path = self.file(number)
        return None if path is None else _thumbnail(path, self.limits)


def training_images(directory: Path, limits: Limits = DEFAULT_LIMITS) -> TrainingImages | None:
    """Returns the training images of a run; None if its record does not name them."""
    table = directory / "manifest.parquet"
    try:
        root = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))["root"]
        manifest = pd.read_parquet(table, columns=["path", "rank", "split"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    train = manifest[manifest["split"] == "train"]
    return TrainingImages(Path(root), tuple(train["path"].astype(str)), train["rank"].to_numpy(dtype=np.int64), limits)


@lru_cache(maxsize=_CACHED_THUMBNAILS)
def _thumbnail(path: Path, limits: Limits) -> bytes | None:
    try:
        image = read_rgb(path, limits)
    except DataError:
        return None
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()
