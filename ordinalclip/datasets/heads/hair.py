"""Hair on the chart: where the scalp bears it, brows, beard, and how strands lie."""

from functools import cache

import numpy as np

from ordinalclip.datasets.heads.chart import Pen, arc, grid, noise, sample
from ordinalclip.datasets.heads.person import Person, ramp
from ordinalclip.datasets.heads.shot import Shot

_AZIMUTH = np.radians([0, 25, 42, 55, 66, 78, 92, 108, 130, 180])
_HAIRLINE = np.array([8.03, 8.0, 7.9, 7.66, 7.2, 7.12, 7.3, 6.85, 6.45, 6.3])
THICKNESS = {"cropped": 0.035, "short": 0.11, "full": 0.22, "long": 0.14}  # decimetres


@cache
def _above_hairline() -> np.ndarray:
    """How far above the hairline a place is, in decimetres; negative below [HEIGHT, WIDTH]."""
    azimuth, height = grid()
    return height - np.interp(np.abs(azimuth), _AZIMUTH, _HAIRLINE)


def scalp(person: Person, years: float) -> np.ndarray:
    """How much of the skin hair covers, 0…1 [HEIGHT, WIDTH]."""
    rng = np.random.default_rng((person.lines, 4))
    azimuth, height = grid()
    edge = noise(rng, 60, 24) * 0.025
    baldness = person.baldness(years)
    # Temples and forehead lose it first, then the crown; the horseshoe round the back stays.
    front = np.cos(np.clip(np.abs(azimuth) - 0.25, 0, np.pi / 2)) ** 2
    receded = _above_hairline() + edge - front * baldness * 0.75 - ramp(years, 30, 90) * 0.06
    crown = 8.62 - baldness * 0.85 - height + edge
    cover = np.clip(receded / 0.05, 0, 1) * np.clip(crown / 0.15, 0, 1)
    thin = 1 - 0.45 * baldness - 0.2 * ramp(years, 55, 90)
    return cover * thin * infancy(person, years)


def infancy(person: Person, years: float) -> float:
    """How much of its hair a small child has yet, 0…1."""
    rng = np.random.default_rng((person.lines, 5))
    return float(np.clip(0.25 + rng.uniform(-0.15, 0.3) + 0.75 * ramp(years, 0.5, 3.5), 0, 1))


def strands(person: Person) -> np.ndarray:
    """Light and dark along the strands, of about unit spread [HEIGHT, WIDTH]."""
    rng = np.random.default_rng((person.lines, 6))
    waves = noise(rng, 24, 10) * person.hair_wave
    curls = noise(rng, 90, 50) * person.hair_wave
    return noise(rng, 170, 5) * 0.7 + waves * 0.5 + curls * 0.6


def brows(person: Person, years: float) -> np.ndarray:
    """How much of the skin brows cover, 0…1 [HEIGHT, WIDTH]."""
    rng = np.random.default_rng((person.lines, 7))
    pen, shift, peak = Pen(), rng.normal(0, 0.015), rng.uniform(0.02, 0.07)
    strength = 0.3 + 0.65 * ramp(years, 1, 16) - 0.3 * ramp(years, 55, 90)
    for side in (1.0, -1.0):
        line = arc((side * 0.11, 7.46 + shift), (side * 0.5, 7.44 + shift), peak)
        for azimuth, height in line:
            for _ in range(7):  # strokes, longest in the middle
                width = 0.028 * person.brow * (1.0 if abs(azimuth) < 0.38 else 0.6)
                low = height + rng.uniform(-1, 1) * width
                left = azimuth + rng.uniform(-0.03, 0.03)
                pen.line([(left, low), (left + side * rng.uniform(0.02, 0.06), low + rng.uniform(0, 0.03))], strength)
    return np.clip(pen.values(0.7) * 1.3, 0, 1)


def beard(person: Person, years: float, shot: Shot) -> np.ndarray:
    """How much of the skin beard and stubble cover, 0…1 [HEIGHT, WIDTH]."""
    if person.sex == "female":
        return np.zeros_like(grid()[0])
    rng = np.random.default_rng((person.lines, 8))
    azimuth, height = grid()
    turned = np.abs(azimuth)
    line = np.interp(turned, [0, 0.22, 0.34, 0.5, 0.9, 1.2], [6.83, 6.8, 6.62, 6.52, 6.75, 7.1])
    cheek = np.clip((line - height + noise(rng, 60, 24) * 0.02) / 0.07, 0, 1)
    neck = np.clip((height - 6.02) / 0.12, 0, 1) * np.clip((1.35 - turned) / 0.1, 0, 1)
    grown = ramp(years, 14, 24)
    shaven = 0.28 * shot.stubble
    density = grown * (person.beard * ramp(years, 18, 28) + (1 - person.beard) * shaven)
    grain = np.clip(1 + 0.35 * noise(rng, 160, 90), 0, 1.5)
    return np.clip(cheek * neck * density * grain, 0, 1)


def is_in_layer(person: Person, place: np.ndarray) -> np.ndarray:
    """Which points of the layer of long hair are hair: not before the face, and not below where it is cut.

    Args:
        person: whose hair it is.
        place: azimuth and height [N, 2].

    Returns:
        True where hair is [N].
    """
    rng = np.random.default_rng((person.lines, 9))
    fringe = rng.uniform(7.55, 7.75) if rng.random() < 0.3 else rng.uniform(7.95, 8.05)
    part, ends = rng.uniform(0.75, 1.05), rng.uniform(4.6, 6.4)
    jag = sample([strands(person)], place)[0] * 0.05
    azimuth, height = np.abs(place[:, 0]), place[:, 1]
    beside = azimuth > part + 0.3 * np.clip((7.3 - height) / 1.5, 0, 0.6) - 0.5 * np.clip((height - 7.6) / 0.4, 0, 1)
    return (beside | (height > fringe + jag)) & (height > ends + jag * 3)
