"""From an RGB image to an image tower's input: resizing, cropping, augmentation and normalization.

Size, interpolation, mean and standard deviation belong to the tower, never to a data set. `Preprocessing` does all
steps on one image. With the same settings it equals torchvision's `Resize`, `CenterCrop`, `ToTensor` and `Normalize` on
PIL images. Resizing and cropping use Pillow and NumPy only and run in decoding threads.

In training the steps are split. `Geometry` makes the uint8 pixels that are cached: whole images for random crops,
center crops for evaluation. `crop_batch` or `stack_batch` makes a batch of them, and `Preprocessing.normalize_pixels`
the input.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ordinalclip.images.decoding import open_rgb, orientation

ENLARGE = 8 / 7  # random crops are cut from an image that is larger than the input by this factor: 256 for 224

_INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_STORED_FORMAT = 1  # part of `Geometry.key`: increase it if decoding changes the stored pixels
_ORIENTATIONS_SWAPPING_SIDES = (5, 6, 7, 8)


@dataclass(frozen=True)
class Preprocessing:
    """Turns an RGB image into a tower's input.

    Attributes:
        size: height and width S of the input in pixels.
        mean: of each channel, in 0…1.
        std: of each channel, in 0…1.
        interpolation: used for resizing.
        resize: "squash" resizes both sides to `size`, ignoring the aspect ratio; "crop" resizes the short side to
            `size` and takes the center crop.
        margin: the image is resized to `margin · size` before the center crop; with 1, "squash" cuts nothing off.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    resize: Literal["squash", "crop"] = "squash"
    margin: float = 1.0

    @property
    def scaled(self) -> int:
        """Both sides ("squash") or the short side ("crop") in pixels before the center crop."""
        return round(self.size * self.margin)

    def to_tensor(self, image: Image.Image) -> Tensor:
        """Returns the input [3, S, S] (float32) for an RGB image, without augmentation."""
        return self.normalize(self.center_crop(self.scale(image, self.scaled)))

    def scale(self, image: Image.Image, size: int) -> Image.Image:
        """Resizes the image so that both sides ("squash") or the short side ("crop") are `size`."""
        target = self.scaled_size(*image.size, size)
        return image if target == image.size else image.resize(target, _INTERPOLATION[self.interpolation])

    def scaled_size(self, width: int, height: int, size: int) -> tuple[int, int]:
        """Returns the width and height that `scale` resizes an image of this width and height to."""
        if self.resize == "squash":
            return size, size
        if width <= height:
            return size, int(size * height / width)
        return int(size * width / height), size

    def center_crop(self, image: Image.Image) -> Image.Image:
        """Returns the center [S, S] of a resized image."""
        return self._crop(image, round((image.width - self.size) / 2), round((image.height - self.size) / 2))

    def crop_position(self, width: int, height: int, numbers: Sequence[float]) -> tuple[int, int, bool]:
        """Returns a random crop's left and top, and whether to flip it, from three random numbers in [0, 1)."""
        across, down, flip = numbers
        return int(across * (width - self.size + 1)), int(down * (height - self.size + 1)), flip < 0.5

    def normalize(self, image: Image.Image) -> Tensor:
        """Returns an RGB image as tensor [3, H, W], scaled to 0…1 and normalized by mean and std."""
        pixels_HWC = torch.from_numpy(np.array(image, dtype=np.uint8))
        return self.normalize_pixels(pixels_HWC.permute(2, 0, 1))

    def normalize_pixels(self, pixels: Tensor) -> Tensor:
        """Normalizes pixels [..., 3, H, W] (uint8) of an image or a batch to float32."""
        mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (self.mean, self.std))
        scaled = pixels.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        return scaled.div_(255).sub_(mean).div_(std)  # in place: memory allocation dominates the time

    def _crop(self, image: Image.Image, left: int, top: int) -> Image.Image:
        return image.crop((left, top, left + self.size, top + self.size))


def reference_preprocessing(size: int) -> Preprocessing:
    """Preprocessing of the paper's code, for any tower: squash to 256, center crop of 224, ImageNet's mean and std."""
    return Preprocessing(size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", "squash", margin=ENLARGE)


@dataclass(frozen=True)
class Geometry:
    """The pixels of an image that are stored: resized, not normalized.

    Attributes:
        preprocessing: of the image tower; mean and std are not used.
        augmented: True for whole images, larger than the input by `ENLARGE`, for random crops; False for center crops
            of the input's size.
    """

    preprocessing: Preprocessing
    augmented: bool

    @property
    def size(self) -> int:
        """Both sides ("squash") or the short side ("crop") of the resized image in pixels."""
        return round(self.preprocessing.size * ENLARGE) if self.augmented else self.preprocessing.scaled

    @property
    def key(self) -> str:
        """Name of the store in the cache. Geometries with equal keys give equal pixels."""
        way = self.preprocessing
        whole = self.augmented or (way.resize == "squash" and way.scaled <= way.size)
        parts = [_STORED_FORMAT, self.size, way.resize, way.interpolation, whole, version("pillow")]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def pixels(self, path: Path) -> np.ndarray:
        """Returns a file's pixels [3, H, W] (uint8), not necessarily contiguous.

        Raises:
            DataError: the file cannot be read.
        """
        image = self.preprocessing.scale(open_rgb(path), self.size)
        if not self.augmented:
            image = self.preprocessing.center_crop(image)
        return np.asarray(image).transpose(2, 0, 1)

    def num_bytes(self, paths: Sequence[Path]) -> int:
        """Returns the size of these files' pixels; reads the files' headers if the aspect ratio is kept."""
        if not self.augmented:
            return 3 * self.preprocessing.size**2 * len(paths)
        if self.preprocessing.resize == "squash":
            return 3 * self.size**2 * len(paths)
        return sum(3 * width * height for width, height in map(self._stored_size, paths))

    def _stored_size(self, path: Path) -> tuple[int, int]:
        try:
            with Image.open(path) as image:
                width, height = image.size
                swapped = orientation(image) in _ORIENTATIONS_SWAPPING_SIDES
        except Exception:  # decoding raises an error that names the file
            return self.size, self.size
        return self.preprocessing.scaled_size(*((height, width) if swapped else (width, height)), self.size)


def crop_numbers(seeds: Sequence[int]) -> list[float]:
    """Returns three random numbers in [0, 1) that depend on these integers alone, such as (seed, epoch, row)."""
    state = np.random.SeedSequence(seeds).generate_state(2)
    generator = torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
    return torch.rand(3, generator=generator).tolist()


def crop_batch(
    preprocessing: Preprocessing, images: Sequence[np.ndarray], numbers: Sequence[Sequence[float]]
) -> Tensor:
    """Crops stored pixels at random and flips them horizontally with probability 1/2.

    Args:
        preprocessing: of the image tower, of size S.
        images: pixels [3, H, W] (uint8) for random crops, H and W at least S.
        numbers: three per image, from `crop_numbers`.

    Returns:
        Pixels [B, 3, S, S] (uint8).
    """
    size = preprocessing.size
    pixels = np.empty((len(images), 3, size, size), dtype=np.uint8)
    flipped = []
    for index, (image, three) in enumerate(zip(images, numbers, strict=True)):
        left, top, flip = preprocessing.crop_position(image.shape[2], image.shape[1], three)
        pixels[index] = image[:, top : top + size, left : left + size]
        if flip:
            flipped.append(index)
    batch = torch.from_numpy(pixels)
    for index in flipped:  # ten times as fast as indexing the batch by a mask
        batch[index] = batch[index].flip(-1)
    return batch


def stack_batch(images: Sequence[np.ndarray]) -> Tensor:
    """Stacks images [3, S, S] (uint8) into pixels [B, 3, S, S]."""
    pixels = np.empty((len(images), *images[0].shape), dtype=np.uint8)
    for index, image in enumerate(images):
        pixels[index] = image
    return torch.from_numpy(pixels)
