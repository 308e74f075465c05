"""How an image enters a tower: size, resizing, cropping, mean and standard deviation, all given by the tower.

`Preprocessing` is written with Pillow and NumPy so that decoding threads need nothing else; with the same settings it
equals torchvision's `Resize`, `CenterCrop`, `ToTensor` and `Normalize` on PIL images. `Geometry` is the part that
decides which pixels are kept, whole or the centre. Crops and flips of stored pixels are drawn for each image from
numbers that identify it.
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

from ordinalclip.images.decoding import open_rgb

ENLARGE = 8 / 7  # random crops are cut from an image that is larger than the input by this: 256 for 224

_INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

_FORMAT = 1  # part of the key: raise it when decoding changes what is stored
_TURNED = (5, 6, 7, 8)  # values of EXIF's orientation that swap width and height
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Preprocessing:
    """The way from an RGB image to a tower's input.

    Attributes:
        size: height and width of the input in pixels.
        mean: of each channel, on a scale of 0 to 1.
        std: of each channel, on a scale of 0 to 1.
        interpolation: of the resize.
        resize: "squash" scales both sides to `size` without keeping the aspect, so that nothing is cut off;
            "crop" scales the short side to `size` and keeps the centre.
        margin: the image is scaled to this times `size` before the centre is kept; 1 loses nothing of a squashed one.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    resize: Literal["squash", "crop"] = "squash"
    margin: float = 1.0

    @property
    def scaled(self) -> int:
        """Both sides ("squash") or the short one ("crop") of the image whose centre is kept."""
        return round(self.size * self.margin)

    def to_tensor(self, image: Image.Image) -> Tensor:
        """Tensor [3, size, size] (float32) of an RGB image, the same every time."""
        return self.normalise(self.centre(self.scale(image, self.scaled)))

    def augment(
        self, image: Image.Image, generator: torch.Generator, *, enlarge: float = ENLARGE, flip: bool = True
    ) -> Tensor:
        """Tensor [3, size, size] of a random crop of a slightly larger image, mirrored or not.

        Args:
            image: an RGB image.
            generator: the only source of randomness; three numbers are drawn from it whatever the settings.
            enlarge: the image is first scaled to this times `size` (8/7 is 256 for 224); 1 is no random crop.
            flip: whether to mirror left and right in one of two cases. Not for tasks where left and right mean
                something.

        Raises:
            ValueError: if `enlarge` is below 1.
        """
        if enlarge < 1:
            raise ValueError(f"enlarge={enlarge}: must be at least 1")
        numbers = torch.rand(3, generator=generator).tolist()
        image = self.scale(image, round(self.size * enlarge))
        left, top, mirrored = self.random_place(image.width, image.height, numbers)
        image = self._crop(image, left, top)
        if flip and mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return self.normalise(image)

    def scale(self, image: Image.Image, size: int) -> Image.Image:
        """The image resized so that both sides ("squash") or the short one ("crop") are `size`."""
        target = self.scaled_size(*image.size, size)
        return image if target == image.size else image.resize(target, _INTERPOLATION[self.interpolation])

    def scaled_size(self, width: int, height: int, size: int) -> tuple[int, int]:
        """Width and height that `scale` gives an image of this width and height."""
        if self.resize == "squash":
            return size, size
        if width <= height:
            return size, int(size * height / width)
        return int(size * width / height), size

    def centre(self, image: Image.Image) -> Image.Image:
        """The middle [size, size] of a scaled image."""
        return self._crop(image, round((image.width - self.size) / 2), round((image.height - self.size) / 2))

    def random_place(self, width: int, height: int, numbers: Sequence[float]) -> tuple[int, int, bool]:
        """Where to cut a scaled image: left, top, and whether to mirror, from three numbers within 0…1."""
        across, down, mirror = numbers
        # The number of possible offsets is one more than the room there is.
        return int(across * (width - self.size + 1)), int(down * (height - self.size + 1)), mirror < 0.5

    def normalise(self, image: Image.Image) -> Tensor:
        """Tensor [3, H, W] of an RGB image: scaled to 0…1, mean subtracted, divided by the deviation."""
        pixels_HWC = torch.from_numpy(np.array(image, dtype=np.uint8))
        return self.normalise_pixels(pixels_HWC.permute(2, 0, 1))

    def normalise_pixels(self, pixels: Tensor) -> Tensor:
        """Tensor [..., 3, H, W] (float32) of pixels 0…255 (uint8) of the same shape; one image or a batch."""
        mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (self.mean, self.std))
        scaled = pixels.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        return scaled.div_(255).sub_(mean).div_(std)  # in place: for a batch memory is what takes the time

    def _crop(self, image: Image.Image, left: int, top: int) -> Image.Image:
        return image.crop((left, top, left + self.size, top + self.size))


def reference_preprocessing(size: int) -> Preprocessing:
    """How the paper's code prepares images for any tower: squashed to 256, the middle 224, ImageNet's mean and std."""
    return Preprocessing(size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", "squash", margin=ENLARGE)


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


def draw(words: Sequence[int]) -> list[float]:
    """Three numbers within 0…1 that depend on these words alone, such as (seed, epoch, row)."""
    state = np.random.SeedSequence(words).generate_state(2)
    generator = torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
    return torch.rand(3, generator=generator).tolist()


def crop_batch(
    preprocessing: Preprocessing, images: Sequence[np.ndarray], numbers: Sequence[Sequence[float]]
) -> Tensor:
    """Random crops, mirrored or not; each is what `Preprocessing.augment` gives from the same three numbers.

    Args:
        preprocessing: the image tower's, of size S.
        images: [3, H, W] pixels (uint8) scaled for cropping, of any height and width from S on.
        numbers: three for each image, from `draw`.

    Returns:
        Pixels [B, 3, S, S] (uint8).
    """
    size = preprocessing.size
    pixels = np.empty((len(images), 3, size, size), dtype=np.uint8)
    mirrored = []
    for index, (image, three) in enumerate(zip(images, numbers, strict=True)):
        left, top, mirror = preprocessing.random_place(image.shape[2], image.shape[1], three)
        pixels[index] = image[:, top : top + size, left : left + size]
        if mirror:
            mirrored.append(index)
    batch = torch.from_numpy(pixels)
    for index in mirrored:  # one by one: ten times as fast as indexing the batch by a mask
        batch[index] = batch[index].flip(-1)
    return batch


def stack_batch(images: Sequence[np.ndarray]) -> Tensor:
    """Pixels [B, 3, S, S] (uint8) of images that are all [3, S, S]."""
    pixels = np.empty((len(images), *images[0].shape), dtype=np.uint8)
    for index, image in enumerate(images):
        pixels[index] = image
    return torch.from_numpy(pixels)
