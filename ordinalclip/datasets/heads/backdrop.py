"""What stands behind a head, and what a camera does to the picture."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A wall, a room out of focus or the open air, linear light [size, size, 3]."""
    base = rng.uniform(25, 215) + rng.normal(0, 12, size=3)
    cells = int(rng.integers(2, 7))
    coarse = base + rng.normal(0, rng.uniform(3, 26), size=(cells, cells, 1)) + rng.normal(0, 5, size=(cells, cells, 3))
    picture = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    if rng.random() < 0.55:  # things behind
        draw = ImageDraw.Draw(picture)
        for _ in range(int(rng.integers(2, 9))):
            left, top = rng.uniform(-0.2, 1, size=2) * size
            across, down = rng.uniform(0.05, 0.6, size=2) * size
            colour = tuple(np.clip(base + rng.normal(0, 38) + rng.normal(0, 14, size=3), 0, 255).astype(int).tolist())
            box = (left, top, left + across, top + down)
            if rng.random() < 0.6:
                draw.rectangle(box, fill=colour)
            else:
                draw.ellipse(box, fill=colour)
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.004, 0.05)) * size))
    return (np.asarray(picture, dtype=np.float32) / 255) ** np.float32(2.2)


def photograph(rng: np.random.Generator, light: np.ndarray, covered: np.ndarray) -> Image.Image:
    """Exposure by what the head gives back, gamma, softness and noise.

    Args:
        rng: the picture's own source.
        light: linear, at twice the picture's size [2S, 2S, 3].
        covered: which of it is the head [2S, 2S].

    Returns:
        An RGB image [S, S].
    """
    middle = float(light[covered].mean()) if covered.any() else 0.2
    # A camera makes dark faces brighter, but not as bright as pale ones.
    exposure = (0.26 / max(middle, 1e-3)) ** 0.6 * rng.uniform(0.75, 1.35)
    light = np.where(covered[..., None], light * exposure, light * rng.uniform(0.8, 1.2))
    half = light.shape[0] // 2
    small = light.reshape(half, 2, half, 2, 3).mean(axis=(1, 3))
    small = small / (1 + 0.25 * small**2)  # highlights roll off
    pixels = 255 * small.clip(0, 1) ** (1 / 2.2)
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    blur = rng.uniform(0, 0.007) * half if rng.random() < 0.4 else 0.0
    if blur > 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    grain = rng.standard_normal((half, half, 3), dtype=np.float32) * rng.uniform(0.5, 5)
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).round().astype(np.uint8))
