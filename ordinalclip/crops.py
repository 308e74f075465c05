"""Crop and flip on a batch of stored pixels, drawn for each image from numbers that name it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ordinalclip.preprocessing import Preprocessing


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
