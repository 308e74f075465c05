"""Colours and finish of what is seen: skin, lips, brows, beard, hair, eyes, teeth, cloth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ordinalclip.datasets.heads.charts import Charts
from ordinalclip.datasets.heads.mesh import EYE, HAIR, LASH, SKIN, TEETH
from ordinalclip.datasets.heads.person import Person, ramp
from ordinalclip.datasets.heads.shot import Shot

# Skin from the palest to the darkest, sRGB.
_SKIN = np.array([[242, 208, 188], [228, 184, 156], [204, 150, 116], [160, 108, 76], [112, 72, 50], [72, 46, 34]])
_WHITE_HAIR = np.array([205.0, 203.0, 198.0])


@dataclass(frozen=True, eq=False)
class Seen:
    """What the camera sees at N points.

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
    """Finish of the surface at N points; see `light.Surface`. `slope` tilts the normals: right and up [N, 2]."""

    colour: np.ndarray
    gloss: np.ndarray
    sharpness: np.ndarray
    soft: np.ndarray
    slope: np.ndarray


def linear(colour: Sequence[float] | np.ndarray) -> np.ndarray:
    """Linear light of sRGB colours 0…255."""
    return ((np.asarray(colour) / 255) ** 2.2).astype(np.float32)


def paint(seen: Seen, person: Person, years: float, shot: Shot) -> Painted:
    """Colour and finish at each point."""
    chart = seen.chart
    lips, lids, ears, inside = seen.masks.T
    scalp = chart.scalp * (1 - ears)
    hairy = np.maximum(scalp, np.maximum(chart.beard, chart.brow) * 0.7)
    inside = np.clip(inside - lips, 0, 1) * (seen.rest[:, 2] < 1.49)
    tuft = _hair_colour(person, years, chart.strand)
    colour = _skin(person, years, chart)
    colour = _with_lips_and_lids(colour, seen.place, lips, lids, person, years)
    colour = _over(colour, _hair_colour(person, years - 5, chart.strand * 0.5) * 0.8, chart.beard)
    colour = _over(colour, _hair_colour(person, years - 12, chart.strand * 0.5) * 0.8, chart.brow * 0.85)
    colour = _over(colour, tuft, scalp)
    colour = _over(colour, linear((90, 30, 28)), inside)
    gloss = (0.1 - 0.05 * ramp(years, 40, 85)) * (1 - hairy) + 0.03 * hairy + 0.1 * lips
    sharpness = np.full_like(gloss, 22)
    soft = np.array([0.28, 0.14, 0.08], dtype=np.float32) * (1 - hairy)[:, None]
    bare = 1 - 0.9 * hairy
    slope = np.stack([chart.right * bare + chart.strand * 0.12 * scalp, chart.up * bare], axis=1)
    cloth = (seen.part == SKIN) & _is_clothed(seen.rest, shot)
    eyes = seen.part == EYE
    other = (seen.part != SKIN) | cloth
    soft[other], slope[other], gloss[other] = 0.1, 0, 0.04
    colour[cloth], gloss[cloth] = shot.cloth, 0.01
    colour[eyes], gloss[eyes], sharpness[eyes] = _eyes(seen.rest[eyes], person, years, shot), 0.9, 160
    yellow = np.array([10, 25, 50]) * ramp(years, 20, 90)
    colour[seen.part == TEETH] = linear(np.array([225, 216, 200]) - yellow) * 0.8
    colour[seen.part == LASH] = linear((30, 22, 18))
    layer = seen.part == HAIR
    colour[layer] = tuft[layer]
    return Painted(colour, gloss, sharpness, soft, slope)


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
    colour: np.ndarray, place: np.ndarray, lips: np.ndarray, lids: np.ndarray, person: Person, years: float
) -> np.ndarray:
    tint = np.array([0.12, 0.5, 0.5] if person.sex == "female" else [0.1, 0.42, 0.44], dtype=np.float32)
    azimuth, height = np.abs(place[:, 0]), place[:, 1]
    below = np.exp(-(((azimuth - 0.32) / 0.16) ** 2) - ((height - 7.13) / 0.07) ** 2)
    dark = np.clip(0.35 * lids + below * (0.12 + 0.3 * ramp(years, 25, 75)), 0, 0.6)
    colour = colour * (1 - dark[:, None] * np.array([0.4, 0.5, 0.45], dtype=np.float32))
    return colour * (1 - (lips * (0.8 - 0.45 * ramp(years, 35, 90)))[:, None] * tint)


def _hair_colour(person: Person, years: float, strand: np.ndarray) -> np.ndarray:
    white = person.greyness(years)
    # Single strands turn white before others do.
    share = np.clip(white + strand * (1.4 * white * (1 - white)), 0, 1)[:, None]
    fair = 1 + 0.5 * (1 - ramp(years, 1, 12))  # children's hair is lighter
    colour = linear(person.hair) * np.float32(fair) * (1 - share) + linear(_WHITE_HAIR) * share
    return colour * np.exp(np.float32(0.45) * strand)[:, None]


def _over(colour: np.ndarray, paint_: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return colour * (1 - cover[:, None]) + paint_ * cover[:, None]


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
    colour = _over(np.tile(white, (len(rest), 1)), linear(person.eyes) * 1.2, iris)
    return _over(colour * (1 - rim * iris)[:, None], np.full(3, 0.004), pupil)
