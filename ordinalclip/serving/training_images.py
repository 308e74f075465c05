"""A run's training images: those whose rank is nearest to a predicted one, and small pictures of them by number."""

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

SIZE = 224  # pixels of a picture's long side
_KEPT = 256  # pictures


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Of one run.

    Attributes:
        root: the folder that the paths are relative to; nothing outside of it is opened, whatever the paths say.
        paths: [N]
        ranks: [N] the rank that each was trained with.
        limits: what files may be.
    """

    root: Path
    paths: tuple[str, ...]
    ranks: npt.NDArray[np.integer]
    limits: Limits = field(default=DEFAULT_LIMITS)

    def nearest(self, rank: int, count: int) -> list[int]:
        """Numbers of the `count` images whose ranks are nearest, nearest first.

        Of more images at the same distance than there is room for, evenly many from first to last are taken: in many
        sets those beside each other are of the same subject.
        """
        distance = np.abs(self.ranks.astype(np.int64) - rank)
        chosen: list[int] = []
        for step in np.unique(distance):
            here, room = np.flatnonzero(distance == step), count - len(chosen)
            if len(here) > room:
                here = here[np.linspace(0, len(here) - 1, room).round().astype(int)]
            chosen += here.tolist()
            if len(chosen) == count:
                break
        return chosen

    def file(self, number: int) -> Path | None:
        """An image's file, or None where it is gone or lies outside of the root."""
        if not 0 <= number < len(self.paths):
            return None
        try:
            path = (self.root / self.paths[number]).resolve()
            return path if path.is_relative_to(self.root.resolve()) and path.is_file() else None
        except (OSError, ValueError, RuntimeError):  # a folder that may not be looked into, a NUL, a circle of links
            return None

    def thumbnail(self, number: int) -> bytes | None:
        """A small JPEG of an image, or None where there is none to be had."""
        path = self.file(number)
        return None if path is None else _thumbnail(path, self.limits)


def training_images(directory: Path, limits: Limits = DEFAULT_LIMITS) -> TrainingImages | None:
    """The training images of a run, from its record; None if the record does not name them."""
    table = directory / "manifest.parquet"
    try:
        root = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))["root"]
        manifest = pd.read_parquet(table, columns=["path", "rank", "split"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    train = manifest[manifest["split"] == "train"]
    return TrainingImages(Path(root), tuple(train["path"].astype(str)), train["rank"].to_numpy(dtype=np.int64), limits)


@lru_cache(maxsize=_KEPT)
def _thumbnail(path: Path, limits: Limits) -> bytes | None:
    try:
        image = read_rgb(path, limits)
    except DataError:
        return None
    image.thumbnail((SIZE, SIZE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()
