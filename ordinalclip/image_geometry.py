"""Which pixels of an image are kept: how it is scaled, and whether whole or its centre."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from ordinalclip.datasets.images import open_rgb
from ordinalclip.preprocessing import ENLARGE, Preprocessing

_FORMAT = 1  # part of the key: raise it when decoding changes what is stored
_TURNED = (5, 6, 7, 8)  # values of EXIF's orientation that swap width and height
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Geometry:
    """What pixels of an image are wanted.

    Attributes:
        preprocessing: the image tower's; its mean and deviation do not matter here.
        augmented: whole images, larger than the input, to be cropped at random; else the centre at the input's size.
    """

    preprocessing: Preprocessing
    augmented: bool

    @property
    def size(self) -> int:
        """Both sides ("squash") or the short one ("crop") of the scaled image."""
        return round(self.preprocessing.size * ENLARGE) if self.augmented else self.preprocessing.scaled

    @property
    def key(self) -> str:
        """Equal keys, equal pixels."""
        cut = self.preprocessing.resize == "crop" or self.preprocessing.scaled > self.preprocessing.size
        whole = self.augmented or not cut
        what = [
            _FORMAT,
            self.size,
            self.preprocessing.resize,
            self.preprocessing.interpolation,
            whole,
            version("pillow"),
        ]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

    def pixels(self, path: Path) -> np.ndarray:
        """Pixels [3, H, W] (uint8) of a file, not necessarily contiguous.

        Raises:
            DataError: naming the file, where it cannot be read.
        """
        image = self.preprocessing.scale(open_rgb(path), self.size)
        if not self.augmented:
            image = self.preprocessing.centre(image)
        return np.asarray(image).transpose(2, 0, 1)

    def num_bytes(self, paths: Sequence[Path]) -> int:
        """Bytes that the pixels of these files take; looks at their headers where the aspect is kept."""
        if not self.augmented:
            return 3 * self.preprocessing.size**2 * len(paths)
        if self.preprocessing.resize == "squash":
            return 3 * self.size**2 * len(paths)
        return sum(3 * width * height for width, height in map(self._stored_size, paths))

    def _stored_size(self, path: Path) -> tuple[int, int]:
        try:
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION) in _TURNED
        except Exception:  # broken in any way: decoding will name it
            return self.size, self.size
        return self.preprocessing.scaled_size(*((height, width) if turned else (width, height)), self.size)
