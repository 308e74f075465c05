"""Light on a surface: lamps that wrap round skin, highlights, cast shadows, and less sky where a head covers it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ordinalclip.datasets.heads.mesh import LASH, head_mesh
from ordinalclip.datasets.heads.raster import rasterise
from ordinalclip.datasets.heads.shot import Lamp

_FAR = 1000.0  # decimetres: so far that a picture from there has no perspective


@dataclass(frozen=True, eq=False)
class Surface:
    """What the light falls on, at N points.

    Args:
        colour: share of the light that is given back, linear [N, 3].
        normals: of length 1, z to the camera [N, 3].
        open: share of the surroundings that is not covered [N].
        lit: share of the key light that is not in shadow [N].
        gloss: strength of highlights [N].
        sharpness: exponent of highlights [N].
        soft: how far light wraps round the surface, by colour [N, 3].
    """

    colour: np.ndarray
    normals: np.ndarray
    open: np.ndarray
    lit: np.ndarray
    gloss: np.ndarray
    sharpness: np.ndarray
    soft: np.ndarray


def shade(surface: Surface, lamps: Sequence[Lamp], sky: Sequence[float], ground: Sequence[float]) -> np.ndarray:
    """Linear light that reaches the camera [N, 3]."""
    share = (surface.normals[:, 1:2] + 1) / 2
    falling = (
        np.array(ground, dtype=np.float32) * (1 - share) + np.array(sky, dtype=np.float32) * share
    ) * surface.open[:, None]
    shine = np.zeros_like(falling)
    for lamp in lamps:
        towards, strength = np.array(lamp.towards, dtype=np.float32), np.array(lamp.colour, dtype=np.float32)
        seen = surface.lit if lamp.shadow else surface.open
        facing = np.einsum("nk,k->n", surface.normals, towards)
        wrapped = ((facing[:, None] + surface.soft) / (1 + surface.soft)).clip(0)
        falling += wrapped * seen[:, None] * strength
        half = towards + np.array([0, 0, 1], dtype=np.float32)
        half /= max(float(np.linalg.norm(half)), 1e-9)
        mirrored = np.einsum("nk,k->n", surface.normals, half).clip(0)
        glint = surface.gloss * mirrored**surface.sharpness * (facing > 0) * seen
        shine += glint[:, None] * strength
    return surface.colour * falling + shine


def lit(points: np.ndarray, triangles: np.ndarray, towards: Sequence[float], *, size: int, bias: float) -> np.ndarray:
    """Share of a far light that reaches each vertex: a picture from where the light stands shows what it reaches.

    Args:
        points: vertices [V, 3].
        triangles: what casts shadows [T, 3].
        towards: unit vector to the light.
        size: edge of the light's picture in pixels.
        bias: how far behind the nearest surface still counts as lit, in the unit of the points.

    Returns:
        The share [V], soft over about a pixel of the light's picture.
    """
    frame = _frame(np.array(towards, dtype=float))
    seen = np.stack([(points * axis).sum(axis=1) for axis in frame], axis=1)
    low, high = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
    scale = (size - 4) / max(float((high - low).max()), 1e-9)
    screen = (seen[:, :2] - low) * scale + 2
    depth = _FAR - seen[:, 2]
    x, y = screen.T
    first, second, third = triangles.T
    # The far side of a closed surface casts the same shadow as the near one, and gives no light to itself.
    facing = (x[second] - x[first]) * (y[third] - y[first]) > (x[third] - x[first]) * (y[second] - y[first])
    triangles = triangles[facing]
    fragments = rasterise(screen, depth, triangles, size, size)
    nearest = np.full(size * size, np.inf)
    nearest[fragments.pixel] = fragments.interpolate(triangles, depth[:, None])[:, 0]
    share = np.zeros(len(points))
    corner = np.floor(screen - 0.5).astype(np.int64)
    rest = screen - 0.5 - corner
    for right in (0, 1):
        for down in (0, 1):
            weight = np.abs(1 - right - rest[:, 0]) * np.abs(1 - down - rest[:, 1])
            share += weight * (depth <= nearest[(corner[:, 1] + down) * size + corner[:, 0] + right] + bias)
    return share


@cache
def occlusion() -> np.ndarray:
    """Share of the surroundings that each vertex of the base mesh sees, by 40 lights all around [V]."""
    mesh = head_mesh()
    normals = mesh.normals(mesh.rest)
    triangles = mesh.triangles[mesh.part < LASH]
    seen = np.zeros(len(normals))
    total = np.full(len(normals), 1e-9)
    for towards in _sphere(40):
        weight = (normals @ towards).clip(0)
        seen += weight * lit(mesh.rest, triangles, towards.tolist(), size=128, bias=0.06)
        total += weight
    return seen / total


def _sphere(number: int) -> np.ndarray:
    """Directions spread evenly [number, 3], in a spiral of the golden angle."""
    height = 1 - (2 * np.arange(number) + 1) / number
    turn = np.arange(number) * np.pi * (3 - 5**0.5)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], axis=1)


def _frame(towards: np.ndarray) -> np.ndarray:
    """Axes of a picture taken from there: right, down, and towards it [3, 3]."""
    helper = np.array([0.0, 1.0, 0.0]) if abs(towards[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, towards), towards])
