"""Gauge data set: pictures of dial instruments, drawn on first use; the rank is the reading the needle points to.

`load_gauge` writes the pictures as PNGs and builds the manifest. `render_gauge` draws one picture: a flat dial
(`gauge_drawing.draw_dial`), placed with a random perspective on a background, then lighting, glare, blur and noise. A
picture depends only on seed, index, number of ranks and size. Run as a program, the module writes the contact sheet of
the docs: `python -m ordinalclip.datasets.drawn.gauge docs/gauge.png`.
"""

import math
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.drawn.gauge_drawing import Scene, draw_dial, sample_scene
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.system.files import write_atomically
from ordinalclip.system.terminal import progress

SUPERSAMPLING = 2
# Part of the folder's name. Raise it when the drawing changes, so that old pictures are not used as new ones.
DRAWING_VERSION = 1
GAP = 3


def load_gauge(
    *,
    num_ranks: Annotated[int, Between(2, 101)] = 101,
    images_per_rank: Annotated[int, Between(1, None)] = 20,
    size: Annotated[int, Between(16, 1024)] = 128,
    seed: Annotated[int, Between(0, None)] = 0,
    on_error: Literal["raise", "skip"] = "raise",
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Draw the pictures that are missing, then load them as any other data set.

    A smaller data set is the beginning of a larger one, so they share a folder.

    Args:
        num_ranks: readings 0…num_ranks-1.
        images_per_rank: pictures of each reading.
        size: edge of the pictures in pixels.
        seed: of the series of pictures.
        on_error: "raise" for broken images, or "skip" to leave them out with a note.
        data_dir: pictures are written to its folder `gauge`.
        cache_dir: folder in which checks of images are cached.

    Returns:
        A manifest whose rank names are the readings.
    """
    root = data_dir / "gauge" / f"{num_ranks}-ranks-{size}px-seed{seed}-v{DRAWING_VERSION}"
    names = [f"{index:06d}.png" for index in range(num_ranks * images_per_rank)]
    root.mkdir(parents=True, exist_ok=True)
    present = {entry.name for entry in os.scandir(root)}
    _draw(root, [index for index, name in enumerate(names) if name not in present], num_ranks, size, seed)
    return build_manifest(
        pd.DataFrame({"path": names, "rank": [index % num_ranks for index in range(len(names))]}),
        name="gauge",
        rank_names=[str(reading) for reading in range(num_ranks)],
        rank_values=range(num_ranks),
        unit="reading",
        root=root,
        cache_dir=cache_dir,
        on_error=on_error,
    )


def _draw(root: Path, indices: list[int], num_ranks: int, size: int, seed: int) -> None:
    def draw_one(index: int) -> None:
        file = root / f"{index:06d}.png"
        if file.exists():  # written by another process
            return
        picture = render_gauge(seed, index, num_ranks, size)
        write_atomically(file, lambda part: picture.save(part, "PNG", compress_level=1))

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            done: Iterable[None] = pool.map(draw_one, indices)
            for _ in progress("drawing gauges", len(indices), " images", iterable=done):
                pass
        except BaseException:  # Ctrl-C does not wait for the queue; finished pictures are kept
            pool.shutdown(cancel_futures=True)
            raise


def render_gauge(seed: int, index: int, num_ranks: int, size: int) -> Image.Image:
    """Draw picture `index` of the series of `seed`; its reading is `index % num_ranks`.

    Args:
        seed: of the series.
        index: in the series; a picture does not depend on others.
        num_ranks: readings 0…num_ranks-1.
        size: edge in pixels.

    Returns:
        An RGB image [size, size].
    """
    rng = np.random.default_rng((seed, num_ranks, index))
    scene = sample_scene(rng, index % num_ranks, num_ranks)
    dial = draw_dial(scene, size * SUPERSAMPLING)
    placed = _place(dial, scene, size)
    picture = _background(rng, size)
    picture = _with_cast_shadow(rng, picture, placed)
    picture.paste(placed, mask=placed)
    return _photograph(rng, picture, placed.getchannel("A"), scene)


def _place(dial: Image.Image, scene: Scene, size: int) -> Image.Image:
    """Turn, tilt and shift the dial into the picture, then bring it to its final size."""
    edge = size * SUPERSAMPLING
    half, turn = scene.radius * edge * 1.2, math.radians(scene.turn)
    target: list[tuple[float, float]] = []
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        # Sides that are farther away are smaller.
        depth = 1 / (1 + scene.tilt[0] * x + scene.tilt[1] * y)
        right, down = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        target.append((scene.center[0] * edge + half * right * depth, scene.center[1] * edge + half * down * depth))
    source = [(0.0, 0.0), (edge, 0.0), (edge, edge), (0.0, edge)]
    coefficients = _homography(target, source)
    warped = dial.transform((edge, edge), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    return warped.reduce(SUPERSAMPLING)


def _homography(source: list[tuple[float, float]], target: list[tuple[float, float]]) -> list[float]:
    """The eight coefficients of the projective map from four points to four others."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.linalg.solve(np.array(rows), np.array(target, dtype=float).reshape(8)).tolist()


def _background(rng: np.random.Generator, size: int) -> Image.Image:
    """A wall, panel or cloth: coarse noise, perhaps stripes or seams."""
    base = rng.uniform(30, 215, size=3) * 0.3 + rng.uniform(30, 215) * 0.7
    cells = int(rng.integers(3, 9))
    coarse = base + rng.normal(0, rng.uniform(4, 22), size=(cells, cells, 1)) + rng.normal(0, 4, size=(cells, cells, 3))
    picture = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    kind = rng.integers(4)
    if kind == 0:
        return picture
    pixels = np.asarray(picture).astype(np.float32)
    across, turn = np.linspace(0, 1, size, dtype=np.float32), rng.uniform(0, math.pi)
    along = across[None, :] * np.float32(math.cos(turn)) + across[:, None] * np.float32(math.sin(turn))
    waves, phase = rng.uniform(2, 14), rng.uniform(0, 1)
    phases = (along * np.float32(waves) + np.float32(phase)) % 1
    if kind == 1:  # corrugated
        change = (np.abs(phases - 0.5) - 0.25) * rng.uniform(40, 120)
    elif kind == 2:  # boards and their seams
        change = np.where(phases < 0.08, -rng.uniform(20, 70), 0)
    else:  # two surfaces that meet
        change = np.where(along > rng.uniform(0.2, 0.9), rng.uniform(-80, 80), 0)
    return Image.fromarray(np.clip(pixels + change[..., None], 0, 255).astype(np.uint8))


def _with_cast_shadow(rng: np.random.Generator, picture: Image.Image, placed: Image.Image) -> Image.Image:
    size = picture.width
    small = placed.getchannel("A").reduce(4).filter(ImageFilter.BoxBlur(1))
    shift = (int(rng.uniform(-0.06, 0.06) * size), int(rng.uniform(0.0, 0.07) * size))
    mask = Image.new("L", picture.size)
    strength = rng.uniform(0.2, 0.75)
    mask.paste(small.resize(picture.size, Image.Resampling.BILINEAR).point(lambda alpha: int(alpha * strength)), shift)
    picture.paste((0, 0, 0), mask=mask)
    return picture


def _photograph(rng: np.random.Generator, picture: Image.Image, glass: Image.Image, scene: Scene) -> Image.Image:
    """Light, shadow, glare, focus, exposure and sensor noise, at the final size."""
    size = picture.width
    blur = rng.uniform(0, 0.009) * size if rng.random() < 0.5 else 0.0
    if blur > 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(picture).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    turn = rng.uniform(0, 2 * math.pi)
    along = x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))
    light = 1 + np.float32(rng.uniform(0, 0.3)) * along - np.float32(rng.uniform(0, 0.18)) * (x * x + y * y)
    if rng.random() < 0.35:  # the edge of a shadow
        softness = rng.uniform(0.02, 0.3)
        edge = np.clip(
            (x * np.float32(rng.normal()) + y * np.float32(rng.normal()) - rng.uniform(-0.5, 0.5)) / softness, 0, 1
        )
        light *= 1 - np.float32(rng.uniform(0.2, 0.55)) * edge.astype(np.float32)
    tint = 1 + rng.normal(0, 0.05, size=3)
    pixels *= light[..., None] * (rng.uniform(0.62, 1.15) * tint).astype(np.float32)
    if rng.random() < 0.45:
        pixels += (_glare(rng, x, y, scene) * (np.asarray(glass) > 127))[..., None]
    spread = np.float32(rng.uniform(1, 9))
    pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * spread
    pixels += rng.uniform(0, 22)  # haze lifts the blacks
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _glare(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, scene: Scene) -> np.ndarray:
    """The reflection of a lamp or a window in the glass."""
    turn, distance = rng.uniform(0, 2 * math.pi), rng.uniform(0, 1.4) * scene.radius
    left, top = (
        2 * middle - 1 + distance * part
        for middle, part in zip(scene.center, (math.cos(turn), math.sin(turn)), strict=True)
    )
    tilt = rng.uniform(0, math.pi)
    u = (x - left) * np.float32(math.cos(tilt)) + (y - top) * np.float32(math.sin(tilt))
    v = (y - top) * np.float32(math.cos(tilt)) - (x - left) * np.float32(math.sin(tilt))
    strength = np.float32(rng.uniform(30, 170))
    if rng.random() < 0.5:
        long, short = rng.uniform(0.15, 0.5), rng.uniform(0.05, 0.2)
        return strength * np.exp(-((u / np.float32(long)) ** 2) - (v / np.float32(short)) ** 2)
    window = np.clip((np.float32(rng.uniform(0.05, 0.14)) - np.abs(v)) * 25, 0, 1)
    return strength * np.float32(0.45) * window


def contact_sheet(rows: int, columns: int, *, size: int, num_ranks: int = 101, seed: int = 0) -> Image.Image:
    """Gauges side by side, their readings spread over the scale.

    Args:
        rows: of pictures.
        columns: of pictures.
        size: edge of a picture in pixels.
        num_ranks: readings 0…num_ranks-1.
        seed: of the series of pictures.

    Returns:
        An RGB image.
    """
    pitch = size + GAP
    sheet = Image.new("RGB", (columns * pitch + GAP, rows * pitch + GAP), "white")
    for place in range(rows * columns):
        # 13 shares no factor with 101, so that the readings do not repeat.
        picture = render_gauge(seed, place * 13, num_ranks, size)
        sheet.paste(picture, (GAP + place % columns * pitch, GAP + place // columns * pitch))
    return sheet


if __name__ == "__main__":
    # 256 colors keep the file small.
    contact_sheet(3, 9, size=104).quantize(256).save(Path(sys.argv[1]), optimize=True)
