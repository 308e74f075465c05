"""The charts of one head: wrinkles, spots and redness of the skin; hair, brows and beard.

They are drawn once for each picture. A person's wrinkles and spots are at the same places at every age.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ordinalclip.datasets.drawn.heads.chart import Pen, arc, grid, noise, sample
from ordinalclip.datasets.drawn.heads.person import Person, ramp
from ordinalclip.datasets.drawn.heads.shot import Shot

# Wrinkles: from, to, bulge, first year, year of full depth, depth. Those off the middle are drawn on both sides.
_LINES = (
    *(
        ((-0.42, y), (0.42, y + 0.02), 0.05, first, first + 40, 0.8)
        for y, first in ((7.66, 34), (7.77, 28), (7.88, 38))
    ),
    ((-0.3, 7.95), (0.3, 7.96), 0.03, 50, 85, 0.6),
    ((0.05, 7.38), (0.06, 7.6), 0.0, 33, 70, 0.8),  # between the brows
    ((0.12, 7.0), (0.3, 6.62), 0.03, 22, 65, 1.0),  # from the nose to the corners of the mouth
    ((0.25, 6.56), (0.29, 6.32), 0.0, 38, 75, 0.9),
    ((0.47, 7.26), (0.72, 7.40), 0.0, 32, 68, 0.8),  # crow's feet
    ((0.48, 7.23), (0.74, 7.27), 0.0, 30, 66, 0.8),
    ((0.47, 7.20), (0.70, 7.12), 0.0, 33, 70, 0.8),
    ((0.45, 7.17), (0.66, 7.02), 0.0, 45, 80, 0.7),
    ((0.18, 7.15), (0.46, 7.17), -0.05, 26, 60, 0.7),  # below the eyes
    ((0.17, 7.10), (0.44, 7.08), -0.06, 38, 75, 0.8),
    ((0.18, 7.40), (0.44, 7.40), 0.03, 40, 80, 0.5),  # above the lids
    ((0.32, 6.98), (0.45, 6.5), 0.0, 50, 85, 0.8),  # cheeks
    ((0.48, 6.9), (0.55, 6.45), 0.0, 56, 90, 0.7),
    ((0.66, 6.95), (0.72, 6.4), 0.0, 60, 90, 0.7),
    ((-0.12, 6.4), (0.12, 6.4), 0.02, 40, 80, 0.5),  # chin
    *(((x, 6.74), (x * 1.15, 6.84), 0.0, 52, 85, 0.7) for x in (0.03, 0.08, 0.13, 0.18)),  # above the lips
    *(((x, 6.47), (x * 1.1, 6.39), 0.0, 58, 88, 0.5) for x in (0.06, 0.13)),
    ((-0.9, 5.86), (0.9, 5.88), -0.08, 30, 75, 0.7),  # neck
    ((-0.9, 5.66), (0.9, 5.62), -0.08, 38, 80, 0.7),
    ((0.12, 6.1), (0.2, 5.5), 0.0, 52, 85, 0.8),
)

_AZIMUTH = np.radians([0, 25, 42, 55, 66, 78, 92, 108, 130, 180])
_HAIRLINE = np.array([8.03, 8.0, 7.9, 7.66, 7.2, 7.12, 7.3, 6.85, 6.45, 6.3])
HAIR_THICKNESS = {"cropped": 0.035, "short": 0.11, "full": 0.22, "long": 0.14}  # decimeters


def relief(person: Person, years: float) -> np.ndarray:
    """Depth of wrinkles and pores, about 0…1 [HEIGHT, WIDTH]."""
    rng = np.random.default_rng((person.lines, 1))
    deep, fine = Pen(), Pen()
    for start, end, bulge, first, last, depth in _LINES:
        sides = (1.0, -1.0) if start[0] > 0 else (1.0,)
        for side in sides:
            own, shift = rng.uniform(0.35, 1.25), rng.normal(0, 0.012, size=4)
            strength = depth * own * person.prone * ramp(years, first + 6 * (1 - person.prone), last)
            points = arc(
                (side * start[0] + shift[0], start[1] + shift[1]), (side * end[0] + shift[2], end[1] + shift[3]), bulge
            )
            deep.line(points, strength, 2)
    folds = int(90 * person.prone * ramp(years, 45, 90))
    places = rng.uniform((-0.9, 6.3), (0.9, 7.9), size=(140, 2))
    turns, lengths = rng.uniform(-0.6, 0.6, size=140), rng.uniform(0.05, 0.16, size=140)
    for (azimuth, height), turn, length in zip(places[:folds].tolist(), turns, lengths, strict=False):
        # Fine folds hang down on the cheeks and run across on the forehead.
        upright = height < 7.1
        across, down = (np.sin(turn), np.cos(turn)) if upright else (np.cos(turn), np.sin(turn) * 0.4)
        tip = (azimuth + length * across, height + length * down)
        fine.line([(azimuth, height), tip], 0.5 * ramp(years, 45, 90))
    pores = noise(rng, 170, 96) * (0.02 + 0.05 * person.prone * ramp(years, 25, 90))
    return deep.values(0.9) * 1.5 + fine.values(0.6) + pores


def spots(person: Person, years: float) -> np.ndarray:
    """Freckles and the brown spots of age, 0…1 [HEIGHT, WIDTH]."""
    rng = np.random.default_rng((person.lines, 2))
    pen = Pen()
    number = int(60 * person.prone * ramp(years, 42, 90))
    places = rng.uniform((-1.1, 6.3), (1.1, 8.5), size=(100, 2)).tolist()
    for (azimuth, height), radius, strength in zip(
        places[:number], rng.uniform(0.5, 2.2, size=100), rng.uniform(0.15, 0.7, size=100), strict=False
    ):
        pen.dot((azimuth, height), radius, strength)
    for _ in range(int(rng.integers(0, 4))):  # moles
        if years > 8:
            pen.dot((rng.uniform(-0.8, 0.8), rng.uniform(6.3, 7.9)), rng.uniform(0.4, 0.8), 0.9)
    return pen.values(0.6)


def redness(person: Person, years: float) -> np.ndarray:
    """Blood near the surface: cheeks, nose, mottled in age [HEIGHT, WIDTH]."""
    rng = np.random.default_rng((person.lines, 3))
    azimuth, height = grid()
    cheeks = np.exp(-(((np.abs(azimuth) - 0.5) / 0.22) ** 2) - ((height - 6.9) / 0.22) ** 2)
    nose = np.exp(-((azimuth / 0.12) ** 2) - ((height - 6.92) / 0.12) ** 2)
    young = 1 - ramp(years, 3, 22)
    own = person.ruddy * (0.35 + 0.35 * ramp(years, 35, 75))
    mottled = noise(rng, 40, 24) * (0.05 + 0.16 * ramp(years, 40, 90))
    return cheeks * (0.5 * young + own) + nose * (0.15 * young + own) + mottled


@cache
def _above_hairline() -> np.ndarray:
    """How far above the hairline a place is, in decimeters; negative below [HEIGHT, WIDTH]."""
    azimuth, height = grid()
    return height - np.interp(np.abs(azimuth), _AZIMUTH, _HAIRLINE)


def scalp(person: Person, years: float) -> np.ndarray:
    """Share of the skin that hair covers, 0…1 [HEIGHT, WIDTH]."""
    rng = np.random.default_rng((person.lines, 4))
    azimuth, height = grid()
    edge = noise(rng, 60, 24) * 0.025
    baldness = person.baldness(years)
    # Hair is lost at temples and forehead first, then at the crown; the sides and the back stay.
    front = np.cos(np.clip(np.abs(azimuth) - 0.25, 0, np.pi / 2)) ** 2
    receded = _above_hairline() + edge - front * baldness * 0.75 - ramp(years, 30, 90) * 0.06
    crown = 8.62 - baldness * 0.85 - height + edge
    cover = np.clip(receded / 0.05, 0, 1) * np.clip(crown / 0.15, 0, 1)
    thin = 1 - 0.45 * baldness - 0.2 * ramp(years, 55, 90)
    return cover * thin * infancy(person, years)


def infancy(person: Person, years: float) -> float:
    """Share of hair that a small child has, 0…1."""
    rng = np.random.default_rng((person.lines, 5))
    return float(np.clip(0.25 + rng.uniform(-0.15, 0.3) + 0.75 * ramp(years, 0.5, 3.5), 0, 1))


def strands(person: Person) -> np.ndarray:
    """Light and dark along the strands, of about unit spread [HEIGHT, WIDTH]."""
    rng = np.random.default_rng((person.lines, 6))
    waves = noise(rng, 24, 10) * person.hair_wave
    curls = noise(rng, 90, 50) * person.hair_wave
    return noise(rng, 170, 5) * 0.7 + waves * 0.5 + curls * 0.6


def brows(person: Person, years: float) -> np.ndarray:
    """Share of the skin that eyebrows cover, 0…1 [HEIGHT, WIDTH]."""
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


@dataclass(frozen=True, eq=False)
class Charts:
    """Charts of one person at one age, or their values at N points.

    Args:
        fold: depth of wrinkles and pores, about 0…1.
        right: how fast that grows to the person's left, by pixel of the chart.
        up: how fast it grows upwards.
        spot: brown spots, 0…1.
        red: blood near the surface, about 0…1.
        scalp: cover by hair, 0…1.
        brow: cover by eyebrows, 0…1.
        beard: cover by beard and stubble, 0…1.
        strand: light and dark along the hair, of about unit spread.
    """

    fold: np.ndarray
    right: np.ndarray
    up: np.ndarray
    spot: np.ndarray
    red: np.ndarray
    scalp: np.ndarray
    brow: np.ndarray
    beard: np.ndarray
    strand: np.ndarray


def draw_charts(person: Person, years: float, shot: Shot) -> Charts:
    """Draw all charts of a person at an age."""
    fold = relief(person, years)
    down, right = np.gradient(fold)
    return Charts(
        fold=fold,
        right=right,
        up=-down,
        spot=spots(person, years),
        red=redness(person, years),
        scalp=scalp(person, years),
        brow=brows(person, years),
        beard=beard(person, years, shot),
        strand=strands(person),
    )
