"""Colors, a rasterizer and light: from a posed mesh to shaded pixels.

Colors and finish of skin, lips, brows, beard, hair, eyes, teeth and cloth; a z-buffer rasterizer in numpy that handles
all pixels of all triangles at once; lamps that wrap around skin, highlights, cast shadows, and ambient occlusion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ordinalclip.datasets.drawn.heads.assets import EYE, HAIR, LASH, SKIN, TEETH, head_mesh
from ordinalclip.datasets.drawn.heads.person import Person, ramp
from ordinalclip.datasets.drawn.heads.shot import Lamp, Shot
from ordinalclip.datasets.drawn.heads.skin import Charts

# Skin from the palest to the darkest, sRGB.
_SKIN = np.array([[242, 208, 188], [228, 184, 156], [204, 150, 116], [160, 108, 76], [112, 72, 50], [72, 46, 34]])
_WHITE_HAIR = np.array([205.0, 203.0, 198.0])

CHUNK = 1 << 20  # candidate pixels processed at once, which bounds the memory
_FAR = 1000.0  # decimeters; from this distance a picture has no perspective


@dataclass(frozen=True, eq=False)
class Seen:
    """The surface seen at N points.

    Args:
        part: of the mesh [N].
        rest: the place on the base mesh [N, 3].
        place: azimuth and height on the chart [N, 2].
        masks: lips, eyelids, ears and the inside of the mouth [N, 4].
        chart: values of the charts.
    """

    part: np.ndarray
    rest: np.ndarray
    place: np.ndarray
    masks: np.ndarray
    chart: Charts


@dataclass(frozen=True, eq=False)
class Painted:
    """Finish of the surface at N points; see `Surface`. `slope` tilts the normals: right and up [N, 2]."""

    color: np.ndarray
    gloss: np.ndarray
    sharpness: np.ndarray
    soft: np.ndarray
    slope: np.ndarray


def linear(color: Sequence[float] | np.ndarray) -> np.ndarray:
    """Linear light of sRGB colors 0…255."""
    return ((np.asarray(color) / 255) ** 2.2).astype(np.float32)


def paint(seen: Seen, person: Person, years: float, shot: Shot) -> Painted:
    """Color and finish at each point."""
    chart = seen.chart
    lips, lids, ears, inside = seen.masks.T
    scalp = chart.scalp * (1 - ears)
    hairy = np.maximum(scalp, np.maximum(chart.beard, chart.brow) * 0.7)
    inside = np.clip(inside - lips, 0, 1) * (seen.rest[:, 2] < 1.49)
    tuft = _hair_color(person, years, chart.strand)
    color = _skin(person, years, chart)
    color = _with_lips_and_lids(color, seen.place, lips, lids, person, years)
    color = _over(color, _hair_color(person, years - 5, chart.strand * 0.5) * 0.8, chart.beard)
    color = _over(color, _hair_color(person, years - 12, chart.strand * 0.5) * 0.8, chart.brow * 0.85)
    color = _over(color, tuft, scalp)
    color = _over(color, linear((90, 30, 28)), inside)
    gloss = (0.1 - 0.05 * ramp(years, 40, 85)) * (1 - hairy) + 0.03 * hairy + 0.1 * lips
    sharpness = np.full_like(gloss, 22)
    soft = np.array([0.28, 0.14, 0.08], dtype=np.float32) * (1 - hairy)[:, None]
    bare = 1 - 0.9 * hairy
    slope = np.stack([chart.right * bare + chart.strand * 0.12 * scalp, chart.up * bare], axis=1)
    cloth = (seen.part == SKIN) & _is_clothed(seen.rest, shot)
    eyes = seen.part == EYE
    other = (seen.part != SKIN) | cloth
    soft[other], slope[other], gloss[other] = 0.1, 0, 0.04
    color[cloth], gloss[cloth] = shot.cloth, 0.01
    color[eyes], gloss[eyes], sharpness[eyes] = _eyes(seen.rest[eyes], person, years, shot), 0.9, 160
    yellow = np.array([10, 25, 50]) * ramp(years, 20, 90)
    color[seen.part == TEETH] = linear(np.array([225, 216, 200]) - yellow) * 0.8
    color[seen.part == LASH] = linear((30, 22, 18))
    layer = seen.part == HAIR
    color[layer] = tuft[layer]
    return Painted(color, gloss, sharpness, soft, slope)


def _is_clothed(rest: np.ndarray, shot: Shot) -> np.ndarray:
    """Below a round neckline, lower in front."""
    reach = np.hypot(rest[:, 0], (rest[:, 2] - 0.1) * 0.8)
    return (reach > shot.neckline) & (rest[:, 1] < 5.75)


def _skin(person: Person, years: float, chart: Charts) -> np.ndarray:
    tone = person.melanin * (len(_SKIN) - 1)
    base = np.array([np.interp(tone, np.arange(len(_SKIN)), _SKIN[:, channel]) for channel in range(3)])
    # With age skin turns a little yellower and duller.
    base = base * (1 + np.array([0.0, -0.01, -0.05]) * ramp(years, 40, 85) - 0.03 * ramp(years, 55, 90))
    blood = chart.red[:, None] * np.array([0.25, -0.55, -0.5], dtype=np.float32)
    folds = chart.fold.clip(0, 1.5)[:, None] * np.array([0.14, 0.22, 0.25], dtype=np.float32)
    brown = chart.spot[:, None] * np.array([0.35, 0.5, 0.6], dtype=np.float32)
    paleness = np.float32(0.30 * (1 - 0.6 * person.melanin))
    return linear(base) * (1 + blood * paleness) * (1 - folds) * (1 - brown)


def _with_lips_and_lids(
    color: np.ndarray, place: np.ndarray, lips: np.ndarray, lids: np.ndarray, person: Person, years: float
) -> np.ndarray:
    tint = np.array([0.12, 0.5, 0.5] if person.sex == "female" else [0.1, 0.42, 0.44], dtype=np.float32)
    azimuth, height = np.abs(place[:, 0]), place[:, 1]
    below = np.exp(-(((azimuth - 0.32) / 0.16) ** 2) - ((height - 7.13) / 0.07) ** 2)
    dark = np.clip(0.35 * lids + below * (0.12 + 0.3 * ramp(years, 25, 75)), 0, 0.6)
    color = color * (1 - dark[:, None] * np.array([0.4, 0.5, 0.45], dtype=np.float32))
    return color * (1 - (lips * (0.8 - 0.45 * ramp(years, 35, 90)))[:, None] * tint)


def _hair_color(person: Person, years: float, strand: np.ndarray) -> np.ndarray:
    white = person.grayness(years)
    # Single strands turn white before others do.
    share = np.clip(white + strand * (1.4 * white * (1 - white)), 0, 1)[:, None]
    fair = 1 + 0.5 * (1 - ramp(years, 1, 12))  # children's hair is lighter
    color = linear(person.hair) * np.float32(fair) * (1 - share) + linear(_WHITE_HAIR) * share
    return color * np.exp(np.float32(0.45) * strand)[:, None]


def _over(color: np.ndarray, paint_: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return color * (1 - cover[:, None]) + paint_ * cover[:, None]


def _eyes(rest: np.ndarray, person: Person, years: float, shot: Shot) -> np.ndarray:
    """White, iris and pupil, by the angle from where the eye looks."""
    left = rest[:, 0] > 0
    middle = np.where(left[:, None], [[0.3077, 7.284, 1.235]], [[-0.3077, 7.284, 1.235]])
    direction = rest - middle
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    turn, rise = shot.gaze
    gaze = np.array([np.sin(turn) * np.cos(rise), np.sin(rise), np.cos(turn) * np.cos(rise)])
    angle = np.arccos(np.clip(direction @ gaze, -1, 1))
    iris = np.clip((0.52 - angle) / 0.05, 0, 1)
    pupil = np.clip((0.2 - angle) / 0.05, 0, 1)
    rim = np.exp(-(((angle - 0.48) / 0.06) ** 2)) * 0.5
    white = linear(np.array([232, 226, 220]) - np.array([4, 14, 26]) * ramp(years, 20, 90)) * 0.8
    color = _over(np.tile(white, (len(rest), 1)), linear(person.eyes) * 1.2, iris)
    return _over(color * (1 - rim * iris)[:, None], np.full(3, 0.004), pupil)


@dataclass(frozen=True, eq=False)
class Fragments:
    """The covered pixels, in the order of their numbers.

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
        return interpolate(values, triangles[self.triangle], self.weights)


def interpolate(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values of vertices [V, C] at N points inside triangles [N, C], from their corners and weights, [N, 3] each."""
    total = values[corners[:, 0]] * weights[:, :1]
    for corner in (1, 2):
        total += values[corners[:, corner]] * weights[:, corner : corner + 1]
    return total


def rasterize(points: np.ndarray, depth: np.ndarray, triangles: np.ndarray, width: int, height: int) -> Fragments:
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
        The nearest triangle at each covered pixel.
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
        owner[pixel[wins]] = triangle[wins]  # of several at the same depth, the first is written last
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


@dataclass(frozen=True, eq=False)
class Surface:
    """The lit surface at N points.

    Args:
        color: reflected share of the light, linear [N, 3].
        normals: of length 1, z to the camera [N, 3].
        open: share of the surroundings that is not occluded [N].
        lit: share of the key light that is not in shadow [N].
        gloss: strength of highlights [N].
        sharpness: exponent of highlights [N].
        soft: how far light wraps around the surface, by color [N, 3].
    """

    color: np.ndarray
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
        towards, strength = np.array(lamp.towards, dtype=np.float32), np.array(lamp.color, dtype=np.float32)
        seen = surface.lit if lamp.shadow else surface.open
        facing = np.einsum("nk,k->n", surface.normals, towards)
        wrapped = ((facing[:, None] + surface.soft) / (1 + surface.soft)).clip(0)
        falling += wrapped * seen[:, None] * strength
        half = towards + np.array([0, 0, 1], dtype=np.float32)
        half /= max(float(np.linalg.norm(half)), 1e-9)
        mirrored = np.einsum("nk,k->n", surface.normals, half).clip(0)
        glint = surface.gloss * mirrored**surface.sharpness * (facing > 0) * seen
        shine += glint[:, None] * strength
    return surface.color * falling + shine


def lit(points: np.ndarray, triangles: np.ndarray, towards: Sequence[float], *, size: int, bias: float) -> np.ndarray:
    """Share of a far light that reaches each vertex, by a shadow map: a depth image from the light's position.

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
    # The far side of a closed surface casts the same shadow as the near one, without shadowing itself.
    facing = (x[second] - x[first]) * (y[third] - y[first]) > (x[third] - x[first]) * (y[second] - y[first])
    triangles = triangles[facing]
    fragments = rasterize(screen, depth, triangles, size, size)
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
    """Ambient occlusion: share of the surroundings that each vertex of the base mesh sees, from 40 directions [V]."""
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
