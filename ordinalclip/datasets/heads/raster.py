"""A z-buffer rasteriser on numpy: all pixels of all triangles at once."""

from dataclasses import dataclass

import numpy as np

CHUNK = 1 << 20  # candidate pixels at a time, which bounds the memory


@dataclass(frozen=True, eq=False)
class Fragments:
    """The pixels that something covers, in the order of their numbers.

    Args:
        pixel: number of the pixel, row × width + column [N].
        triangle: the nearest one [N].
        weights: of its three corners, adding up to 1, right for perspective [N, 3].
    """

    pixel: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray

    def interpolate(self, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values of vertices [V, C] at the pixels [N, C]."""
        corners = triangles[self.triangle]
        result = values[corners[:, 0]] * self.weights[:, :1]
        for corner in (1, 2):
            result += values[corners[:, corner]] * self.weights[:, corner : corner + 1]
        return result


def rasterise(points: np.ndarray, depth: np.ndarray, triangles: np.ndarray, width: int, height: int) -> Fragments:
    """Find the nearest triangle at the middle of every pixel.

    Triangles are seen from both sides; of two at the same depth the first counts. Those with a corner at or behind the
    camera, and those without area, are not drawn.

    Args:
        points: projected vertices in pixels [V, 2]; y down, the middle of pixel (0, 0) lies at (0.5, 0.5).
        depth: distance of the vertices from the camera's plane [V]; 1 / depth is linear on the screen.
        triangles: [T, 3].
        width: of the picture.
        height: of the picture.

    Returns:
        What covers which pixel.
    """
    x, y, near = points[:, 0][triangles], points[:, 1][triangles], 1 / np.where(depth > 0, depth, np.inf)[triangles]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    left = np.ceil(x.min(axis=1) - 0.5).clip(0, width).astype(np.int64)
    right = np.floor(x.max(axis=1) - 0.5).clip(-1, width - 1).astype(np.int64) + 1
    top = np.ceil(y.min(axis=1) - 0.5).clip(0, height).astype(np.int64)
    bottom = np.floor(y.max(axis=1) - 0.5).clip(-1, height - 1).astype(np.int64) + 1
    across, down = (right - left).clip(0), (bottom - top).clip(0)
    drawn = np.flatnonzero((across * down > 0) & (area != 0) & (near > 0).all(axis=1))
    number = (across * down)[drawn]
    ends = np.cumsum(number)
    nearest = np.full(width * height, -np.inf)
    owner = np.full(width * height, -1)
    kept = np.zeros((width * height, 3))
    for group in np.split(drawn, np.flatnonzero(np.diff(ends // CHUNK)) + 1):
        owned = _cover(group, x, y, near, area, (left, top, across, down), width)
        if owned is None:
            continue
        pixel, triangle, weights, nearness = owned
        wins = nearness > nearest[pixel]
        pixel = pixel[wins]
        nearest[pixel], owner[pixel], kept[pixel] = nearness[wins], triangle[wins], weights[wins]
    covered = np.flatnonzero(owner >= 0)
    # Linear on the screen is value / depth: divide the weights by the corners' depths and make them add up to 1.
    weights = kept[covered] * near[owner[covered]]
    return Fragments(covered, owner[covered], weights / weights.sum(axis=1, keepdims=True))


def _cover(
    group: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    near: np.ndarray,
    area: np.ndarray,
    box: tuple[np.ndarray, ...],
    width: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """The nearest of some triangles at each pixel that they cover: pixel, triangle, screen weights, 1 / depth."""
    left, top, across, down = (edges[group] for edges in box)
    number = across * down
    if number.sum() == 0:
        return None
    start = np.cumsum(number) - number
    # Weights are linear on the screen: for two corners the value at the box's first pixel, and a step across and down.
    px, py, twice = x[group], y[group], area[group]
    over, below = left + 0.5 - px[:, 0], top + 0.5 - py[:, 0]
    planes = []
    for corner, sign in ((2, 1), (1, -1)):
        step_x = sign * (py[:, corner] - py[:, 0]) / twice
        step_y = -sign * (px[:, corner] - px[:, 0]) / twice
        planes.append((over * step_x + below * step_y, step_x, step_y))
    of = np.repeat(np.arange(len(group)), number)
    place = np.arange(number.sum()) - start[of]
    row = place // across[of]
    column = place - row * across[of]
    weights = [at[of] + column * step_x[of] + row * step_y[of] for at, step_x, step_y in planes]
    inside = np.flatnonzero((weights[0] >= 0) & (weights[1] >= 0) & (weights[0] + weights[1] <= 1))
    of, second, third = of[inside], weights[0][inside], weights[1][inside]
    pixel = (top[of] + row[inside]) * width + left[of] + column[inside]
    first_near, second_near, third_near = near[group].T
    nearness = first_near[of] + second * (second_near - first_near)[of] + third * (third_near - first_near)[of]
    # Sorted by pixel, then from near to far; the sort is stable, so that the first triangle wins a draw.
    order = np.lexsort((-nearness, pixel))
    pixel = pixel[order]
    is_first = np.r_[True, pixel[1:] != pixel[:-1]] if len(pixel) else np.zeros(0, dtype=bool)
    order = order[is_first]
    second, third = second[order], third[order]
    return pixel[is_first], group[of[order]], np.stack([1 - second - third, second, third], axis=1), nearness[order]
