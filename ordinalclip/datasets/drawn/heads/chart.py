"""The flat chart of the base head, and the pose of a head before a camera.

A point of the chart is the same place on heads of every shape. Its axes are the azimuth about the
head's axis, 0 at the nose and positive to the person's left, and the height, both of the base mesh. Landmarks: eyes
(±0.34, 7.28), brows 7.48, mouth 6.6, chin 6.2, hairline 8.0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ordinalclip.datasets.drawn.heads.assets import head_mesh
from ordinalclip.datasets.drawn.heads.shot import Shot

AXIS = 0.5  # z of the head's axis in the base mesh
TURN = np.pi  # half of the width, in radians
TOP, BOTTOM = 8.6, 5.2
WIDTH, HEIGHT = 416, 232
Point = tuple[float, float]


@cache
def chart_of_mesh() -> np.ndarray:
    """Azimuth and height of the vertices [V, 2]."""
    rest = head_mesh().rest
    return np.stack([np.arctan2(rest[:, 0], rest[:, 2] - AXIS), rest[:, 1]], axis=1).astype(np.float32)


@cache
def grid() -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and height of the chart's pixels, each [HEIGHT, WIDTH]."""
    azimuth = ((np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1) * TURN
    height = TOP - (np.arange(HEIGHT) + 0.5) / HEIGHT * (TOP - BOTTOM)
    turned, risen = np.meshgrid(azimuth.astype(np.float32), height.astype(np.float32))
    return turned, risen


def sample(charts: Sequence[np.ndarray], place: np.ndarray) -> list[np.ndarray]:
    """Values of charts [HEIGHT, WIDTH] at azimuths and heights [N, 2], bilinear, [N] for each chart."""
    x = ((place[:, 0] / TURN + 1) * (WIDTH / 2) - 0.5).clip(0, WIDTH - 1.01)
    y = ((TOP - place[:, 1]) * (HEIGHT / (TOP - BOTTOM)) - 0.5).clip(0, HEIGHT - 1.01)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, down = x - column, y - row
    at = row * WIDTH + column
    corners = (at, at + 1, at + WIDTH, at + WIDTH + 1)
    weights = ((1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down)
    values = []
    for chart in charts:
        flat = chart.ravel()
        values.append(sum(flat.take(corner) * weight for corner, weight in zip(corners, weights, strict=True)))
    return values


class Pen:
    """Draws lines and dots on a chart of one channel."""

    def __init__(self) -> None:
        self.image = Image.new("L", (WIDTH, HEIGHT))
        self._draw = ImageDraw.Draw(self.image)

    def line(self, points: Sequence[Point], strength: float, width: int = 1) -> None:
        """A line through azimuths and heights; strength 0…1."""
        value = round(255 * min(max(strength, 0.0), 1.0))
        if value:
            self._draw.line([_pixel(point) for point in points], fill=value, width=width)

    def dot(self, middle: Point, radius: float, strength: float) -> None:
        """A dot; its radius in pixels of the chart."""
        x, y = _pixel(middle)
        value = round(255 * min(max(strength, 0.0), 1.0))
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=value)

    def values(self, blur: float) -> np.ndarray:
        """The drawing, blurred by a radius in pixels, 0…1 [HEIGHT, WIDTH]."""
        image = self.image.filter(ImageFilter.GaussianBlur(blur)) if blur else self.image
        return np.asarray(image, dtype=np.float32) / 255


def arc(start: Point, end: Point, bulge: float) -> list[Point]:
    """Points from start to end, the middle one `bulge` higher."""
    shares = np.linspace(0, 1, 9)
    return [
        (
            start[0] + (end[0] - start[0]) * share,
            start[1] + (end[1] - start[1]) * share + 4 * bulge * share * (1 - share),
        )
        for share in shares.tolist()
    ]


def noise(rng: np.random.Generator, across: int, down: int) -> np.ndarray:
    """Smooth noise of about unit variance from `down` × `across` cells [HEIGHT, WIDTH]."""
    cells = Image.fromarray(rng.standard_normal((down, across)).astype(np.float32))
    return np.asarray(cells.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def _pixel(point: Point) -> Point:
    return (point[0] / TURN + 1) * WIDTH / 2, (TOP - point[1]) / (TOP - BOTTOM) * HEIGHT


@dataclass(frozen=True, eq=False)
class Posed:
    """A head in front of the camera, which looks along -z.

    Args:
        points: decimeters from the middle of the head, x to the picture's right, y up, z to the camera [V, 3].
        normals: of length 1 [V, 3].
        right: unit direction on the skin in which the azimuth grows [V, 3].
        up: unit direction on the skin in which the height grows [V, 3].
        hollow: depth of a vertex below the mean of its neighbors, in decimeters [V].
        screen: places in the picture, in pixels, y down [V, 2].
        depth: distance from the camera's plane, in decimeters [V].
    """

    points: np.ndarray
    normals: np.ndarray
    right: np.ndarray
    up: np.ndarray
    hollow: np.ndarray
    screen: np.ndarray
    depth: np.ndarray


def pose(shape: np.ndarray, shot: Shot, size: int) -> Posed:
    """Turn head and shoulders, and project them.

    Args:
        shape: vertices of a head [V, 3].
        shot: pose and camera.
        size: edge of the picture in pixels.
    """
    mesh, of = head_mesh(), _landmarks()
    pivot = shape[of.neck].mean(axis=0)
    turned = _turn(shape - pivot, shot)
    middle = (turned[of.crown] + turned[of.chin].mean(axis=0)) / 2
    middle[2] = turned[of.neck, 2].mean() + 0.6
    length = np.linalg.norm(shape[of.crown] - shape[of.chin].mean(axis=0))
    points = turned - middle
    depth = np.maximum(shot.distance - points[:, 2], 0.1)
    focal = shot.fill * size / length * shot.distance
    screen = np.stack(
        [shot.center[0] * size + focal * points[:, 0] / depth, shot.center[1] * size - focal * points[:, 1] / depth],
        axis=1,
    )
    normals = mesh.normals(points)
    azimuth = chart_of_mesh()[:, 0]
    right = np.stack([np.cos(azimuth), np.zeros_like(azimuth), -np.sin(azimuth)], axis=1)
    up = np.tile([0.0, 1.0, 0.0], (len(right), 1))
    beside = mesh.beside @ points - points
    return Posed(points, normals, _turn(right, shot), _turn(up, shot), (beside * normals).sum(axis=1), screen, depth)


def _turn(points: np.ndarray, shot: Shot) -> np.ndarray:
    """Rotate about the origin by yaw, pitch and roll: the head fully, the shoulders by their yaw, the neck between."""
    share = _landmarks().follows
    x, y, z = points.T
    yaw = shot.torso + share * (shot.yaw - shot.torso)
    x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    pitch = -share * shot.pitch
    y, z = y * np.cos(pitch) - z * np.sin(pitch), z * np.cos(pitch) + y * np.sin(pitch)
    roll = -share * shot.roll
    x, y = x * np.cos(roll) - y * np.sin(roll), y * np.cos(roll) + x * np.sin(roll)
    return np.stack([x, y, z], axis=1)


@dataclass(frozen=True, eq=False)
class _Landmarks:
    neck: np.ndarray
    crown: int
    chin: np.ndarray
    follows: np.ndarray


@cache
def _landmarks() -> _Landmarks:
    mesh = head_mesh()
    x, y, z = mesh.rest.T
    skin = mesh.is_skin
    share = np.clip((y - 5.5) / (6.35 - 5.5), 0, 1)
    return _Landmarks(
        neck=np.flatnonzero(skin & (np.abs(y - 5.95) < 0.1)),
        crown=int(np.where(skin, y, -np.inf).argmax()),
        chin=np.flatnonzero(skin & (np.abs(x) < 0.1) & (z > 1.2) & (y > 6.14) & (y < 6.25)),
        follows=share * share * (3 - 2 * share),
    )
