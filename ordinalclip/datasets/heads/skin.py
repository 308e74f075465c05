"""What skin carries: wrinkles, spots, redness; a person's own are drawn at the same places at every age."""

import numpy as np

from ordinalclip.datasets.heads.chart import Pen, arc, grid, noise
from ordinalclip.datasets.heads.person import Person, ramp

# Lines that ageing draws: from, to, bulge, first year, year of full depth, depth. Those off the middle come in pairs.
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
