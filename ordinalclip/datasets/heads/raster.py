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
    left, right = _span(x, width)
    top, bottom = _span(y, height)
    across, down = (right - left).clip(0), (bottom - top).clip(0)
    drawn = np.flatnonzero((across * down > 0) & (area != 0) & (near > 0).all(axis=1))
    area = np.where(area == 0, 1.0, area)
    # Weights of corners are linear on the screen: at the box's first pixel, a step across, a step down [3, T].
    second, third = (_plane(x, y, area, corner, left, top) for corner in (1, 2))
    nearness = (near[:, 1] - near[:, 0]) * second + (near[:, 2] - near[:, 0]) * third
    nearness[0] += near[:, 0]
    nearest = np.full(width * height, -np.inf)
    owner = np.full(width * height, -1)
    for group in np.split(drawn, np.flatnonzero(np.diff(np.cumsum((across * down)[drawn]) // CHUNK)) + 1):
        number = (across * down)[group]
        place = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        row, column = np.divmod(place, np.repeat(across[group], number))
        weights = [_at(np.repeat(plane[:, group], number, axis=1), column, row) for plane in (second, third)]
        inside = np.flatnonzero((weights[0] >= 0) & (weights[1] >= 0) & (weights[0] + weights[1] <= 1))
        triangle, row, column = np.repeat(group, number)[inside], row[inside], column[inside]
        pixel = (top[triangle] + row) * width + left[triangle] + column
        near_here = _at(nearness[:, triangle], column, row)
        before = nearest[pixel]
        np.maximum.at(nearest, pixel, near_here)
        wins = np.flatnonzero((near_here > before) & (near_here == nearest[pixel]))[::-1]
        owner[pixel[wins]] = triangle[wins]  # of those that draw the first is written last
    covered = np.flatnonzero(owner >= 0)
    triangle = owner[covered]
    place = covered % width - left[triangle], covered // width - top[triangle]
    one, other = (_at(plane[:, triangle], *place) for plane in (second, third))
    # What is linear on the screen is value / depth: divide by the corners' depths and make the weights add up to 1.
    weights = np.stack([1 - one - other, one, other], axis=1) * near[triangle]
    return Fragments(covered, triangle, weights / weights.sum(axis=1, keepdims=True))


def _span(corners: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixel whose middle a triangle can cover, and the first behind them [T]."""
    first = np.ceil(corners.min(axis=1) - 0.5).clip(0, end)
    last = np.floor(corners.max(axis=1) - 0.5).clip(-1, end - 1)
    return first.astype(np.int64), last.astype(np.int64) + 1


def _plane(
    x: np.ndarray, y: np.ndarray, area: np.ndarray, corner: int, left: np.ndarray, top: np.ndarray
) -> np.ndarray:
    """Weight of a corner: at the middle of pixel (left, top), a step to the right, a step down [3, T]."""
    other, sign = (2, 1) if corner == 1 else (1, -1)
    right = sign * (y[:, other] - y[:, 0]) / area
    down = -sign * (x[:, other] - x[:, 0]) / area
    return np.stack([(left + 0.5 - x[:, 0]) * right + (top + 0.5 - y[:, 0]) * down, right, down])


def _at(plane: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Value of planes [3, N] at places counted from their first pixels [N]."""
    return plane[0] + column * plane[1] + row * plane[2]
