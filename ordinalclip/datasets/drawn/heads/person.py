"""Persons: their properties, their shape at an age, random sampling, and the series of pictures of a seed.

A macro target of MakeHuman is a corner of the space of properties (such as an old, lean, muscular male). Its weight is
the product of linear interpolation weights, one for each property. The anchors of age are MakeHuman's: a baby is 1 year
old, a child 10, the young 25, the old 90.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from ordinalclip.datasets.drawn.heads.assets import head_mesh, read_target

AGES = {"baby": 1.0, "child": 10.0, "young": 25.0, "old": 90.0}
YOUNGEST, OLDEST = 1, 90
ANCESTRIES = ("african", "asian", "caucasian")
_THIRDS = (0.0, 0.5, 1.0)

SEXES = ("female", "male")
Color = tuple[float, float, float]
# Changes with age beyond the macro targets: target, first year, last year, weight.
AGEING = (
    ("head/head-age-incr", 45, 90, 0.5),
    ("eyes/{side}-eye-bag-incr", 35, 75, 0.8),
    ("eyes/{side}-eye-eyefold-down", 40, 85, 0.6),
    ("mouth/mouth-laugh-lines-out", 30, 70, 0.7),
    ("mouth/mouth-angles-down", 50, 90, 0.5),
    ("ears/{side}-ear-lobe-incr", 40, 90, 0.8),
    ("ears/{side}-ear-scale-incr", 40, 90, 0.35),
    ("nose/nose-point-down", 40, 90, 0.4),
    ("neck/neck-double-incr", 45, 85, 0.4),
)
# Opposite targets that make people differ: (towards -1, towards +1). "{side}" is both sides alike.
_FEATURES = (
    ("head/head-round", "head/head-rectangular"),
    ("head/head-oval", "head/head-square"),
    ("head/head-triangular", "head/head-invertedtriangular"),
    ("head/head-scale-depth-decr", "head/head-scale-depth-incr"),
    ("head/head-scale-horiz-decr", "head/head-scale-horiz-incr"),
    ("forehead/forehead-scale-vert-decr", "forehead/forehead-scale-vert-incr"),
    ("forehead/forehead-trans-backward", "forehead/forehead-trans-forward"),
    ("eyebrows/eyebrows-angle-down", "eyebrows/eyebrows-angle-up"),
    ("eyebrows/eyebrows-trans-down", "eyebrows/eyebrows-trans-up"),
    ("eyes/{side}-eye-corner2-down", "eyes/{side}-eye-corner2-up"),
    ("eyes/{side}-eye-height2-decr", "eyes/{side}-eye-height2-incr"),
    ("eyes/{side}-eye-scale-decr", "eyes/{side}-eye-scale-incr"),
    ("eyes/{side}-eye-trans-in", "eyes/{side}-eye-trans-out"),
    ("nose/nose-curve-concave", "nose/nose-curve-convex"),
    ("nose/nose-hump-decr", "nose/nose-hump-incr"),
    ("nose/nose-point-down", "nose/nose-point-up"),
    ("nose/nose-scale-horiz-decr", "nose/nose-scale-horiz-incr"),
    ("nose/nose-scale-vert-decr", "nose/nose-scale-vert-incr"),
    ("nose/nose-scale-depth-decr", "nose/nose-scale-depth-incr"),
    ("mouth/mouth-scale-horiz-decr", "mouth/mouth-scale-horiz-incr"),
    ("mouth/mouth-lowerlip-height-decr", "mouth/mouth-lowerlip-height-incr"),
    ("mouth/mouth-upperlip-height-decr", "mouth/mouth-upperlip-height-incr"),
    ("mouth/mouth-trans-down", "mouth/mouth-trans-up"),
    ("chin/chin-width-decr", "chin/chin-width-incr"),
    ("chin/chin-prominent-decr", "chin/chin-prominent-incr"),
    ("chin/chin-height-decr", "chin/chin-height-incr"),
    ("cheek/{side}-cheek-bones-decr", "cheek/{side}-cheek-bones-incr"),
    ("cheek/{side}-cheek-volume-decr", "cheek/{side}-cheek-volume-incr"),
    ("ears/{side}-ear-scale-decr", "ears/{side}-ear-scale-incr"),
    ("ears/{side}-ear-wing-decr", "ears/{side}-ear-wing-incr"),
)
_HAIR = ((12, 9, 8), (32, 20, 14), (66, 42, 26), (112, 78, 46), (176, 138, 84), (128, 60, 28))
_HAIR_SHARES = {
    "african": (0.8, 0.2, 0, 0, 0, 0),
    "asian": (0.7, 0.27, 0.03, 0, 0, 0),
    "caucasian": (0.06, 0.24, 0.28, 0.22, 0.14, 0.06),
}
_EYES = ((38, 20, 10), (74, 42, 20), (96, 84, 48), (78, 106, 128), (110, 122, 126))
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Body:
    """The parameters of a head's shape.

    Args:
        years: age, 1…90.
        male: 0 is female, 1 is male, or between.
        ancestry: share of each of `ANCESTRIES`, adding up to 1.
        muscle: 0…1, 0.5 is average.
        weight: 0…1, 0.5 is average.
        details: weight of each further target, by its name such as "head/head-round".
    """

    years: float
    male: float
    ancestry: tuple[float, float, float]
    muscle: float
    weight: float
    details: Mapping[str, float]


def shape(body: Body) -> np.ndarray:
    """Vertices of the head in decimeters [V, 3], in the order of `head_mesh().vertices`."""
    points = head_mesh().rest.copy()
    for name, share in macro_shares(body):
        points += share * _offsets(name)
    for name, share in body.details.items():
        if share:
            points += share * _offsets(name)
    return points


def macro_shares(body: Body) -> Iterator[tuple[str, float]]:
    """The macro targets of a body and their weights."""
    ages = shares(body.years, tuple(AGES.values()))
    sexes = {"female": 1 - body.male, "male": body.male}
    muscles = shares(body.muscle, _THIRDS)
    weights = shares(body.weight, _THIRDS)
    for sex, sex_share in sexes.items():
        for age, age_share in zip(AGES, ages, strict=True):
            for ancestry, share in zip(ANCESTRIES, body.ancestry, strict=True):
                if sex_share * age_share * share > 0:
                    yield f"macrodetails/{ancestry}-{sex}-{age}", sex_share * age_share * share
            for muscle, muscle_share in zip(("min", "average", "max"), muscles, strict=True):
                for weight, weight_share in zip(("min", "average", "max"), weights, strict=True):
                    product = sex_share * age_share * muscle_share * weight_share
                    if product > 0:
                        yield f"macrodetails/universal-{sex}-{age}-{muscle}muscle-{weight}weight", product


def shares(value: float, anchors: tuple[float, ...]) -> np.ndarray:
    """Linear interpolation weights of a value between anchors; beyond the ends, the end has weight 1."""
    return np.array([np.interp(value, anchors, row) for row in np.eye(len(anchors))])


@cache
def _offsets(name: str) -> np.ndarray:
    """Offsets of a target at the head's vertices [V, 3]."""
    wanted = head_mesh().vertices
    vertices, offsets = read_target(name)
    dense = np.zeros((max(wanted.max(), vertices.max(initial=0)) + 1, 3))
    dense[vertices] = offsets
    return dense[wanted]


@dataclass(frozen=True)
class Person:
    """Properties of a person that do not change with age.

    Args:
        sex: one of `SEXES`.
        ancestry: the greatest share of `mixture`.
        male: how male the shape is, 0…1.
        mixture: shares of `ANCESTRIES`.
        muscle: 0…1.
        weight: 0…1, as a grown-up of 25.
        gain: change of `weight` from 25 to 60.
        features: shape of the face, by target.
        prone: how strongly the skin ages; 1 is average.
        ageing: how far each of the ageing targets goes, about 1.
        melanin: 0 is the palest skin, 1 the darkest.
        ruddy: redness of cheeks and nose, 0…1.
        eyes: color of the iris (sRGB, 0…255).
        hair: color of the hair while it has its color.
        brow: thickness of the eyebrows, about 1.
        hair_style: "cropped", "short", "full", or "long".
        hair_wave: how wavy the strands lie, 0…1.
        gray_from: age at which the hair turns gray, half of it ten years later.
        bald_from: age at which hair is lost; above 90 never.
        bald: how much of it at last, 0…1.
        beard: how a man wears it: 0 shaven, 1 full.
        lines: seed of wrinkles, spots and strands.
    """

    sex: str
    ancestry: str
    male: float
    mixture: tuple[float, float, float]
    muscle: float
    weight: float
    gain: float
    features: Mapping[str, float]
    prone: float
    ageing: tuple[float, ...]
    melanin: float
    ruddy: float
    eyes: Color
    hair: Color
    brow: float
    hair_style: str
    hair_wave: float
    gray_from: float
    bald_from: float
    bald: float
    beard: float
    lines: int

    def body(self, years: float, expression: Mapping[str, float]) -> Body:
        """Parameters of the shape at an age, with an expression."""
        details = dict(self.features)
        # A child's face has less of the features of the adult.
        grown = float(np.interp(years, (1, 18), (0.35, 1.0)))
        for name in details:
            details[name] *= grown
        for (name, first, last, far), own in zip(AGEING, self.ageing, strict=True):
            share = far * own * self.prone * ramp(years, first, last)
            for side in both_sides(name):
                details[side] = details.get(side, 0.0) + share
        for name, share in expression.items():
            details[name] = details.get(name, 0.0) + share
        weight = self.weight + self.gain * (ramp(years, 25, 60) - 0.6 * ramp(years, 72, 90))
        muscle = self.muscle - 0.25 * ramp(years, 50, 90)
        return Body(years, self.male, self.mixture, float(np.clip(muscle, 0, 1)), float(np.clip(weight, 0, 1)), details)

    def grayness(self, years: float) -> float:
        """Share of white hair, 0…1."""
        return float(1 / (1 + np.exp(-(years - self.gray_from - 10) / 4.5)))

    def baldness(self, years: float) -> float:
        """Share of the lost hair, 0…1."""
        return self.bald * ramp(years, self.bald_from, self.bald_from + 40)


def ramp(years: float, first: float, last: float) -> float:
    """0 up to the first age, 1 from the last on, linear between."""
    return float(np.clip((years - first) / (last - first), 0, 1))


def both_sides(name: str) -> tuple[str, ...]:
    """Names of the targets: a name with `{side}` is those of both sides."""
    return tuple(name.format(side=side) for side in "lr") if "{side}" in name else (name,)


def sample_person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    sex = SEXES[rng.integers(2)]
    ancestry = ANCESTRIES[rng.integers(3)]
    main = rng.uniform(0.7, 1.0)
    rest = rng.uniform(0, 1)
    others = iter(((1 - main) * rest, (1 - main) * (1 - rest)))
    african, asian, caucasian = (float(main if name == ancestry else next(others)) for name in ANCESTRIES)
    features = {}
    for low, high in _FEATURES:
        share = float(np.clip(rng.normal(0, 0.32), -0.8, 0.8))
        for name in both_sides(low if share < 0 else high):
            features[name] = abs(share)
    style = {"female": (0.04, 0.16, 0.3, 0.5), "male": (0.25, 0.5, 0.2, 0.05)}[sex]
    return Person(
        sex=sex,
        ancestry=ancestry,
        male=float(rng.uniform(0.85, 1) if sex == "male" else rng.uniform(0, 0.15)),
        mixture=(african, asian, caucasian),
        muscle=float(np.clip(rng.normal(0.5, 0.16), 0, 1)),
        weight=float(np.clip(rng.normal(0.48, 0.17), 0, 1)),
        gain=float(rng.normal(0.1, 0.12)),
        features=features,
        prone=float(np.clip(rng.normal(1, 0.22), 0.5, 1.5)),
        ageing=tuple(np.clip(rng.normal(1, 0.4, size=len(AGEING)), 0, 2).tolist()),
        melanin=float(np.clip(african * 0.78 + asian * 0.3 + caucasian * 0.14 + rng.normal(0, 0.09), 0, 1)),
        ruddy=float(rng.uniform(0, 1)),
        eyes=_jitter(rng, _EYES[rng.choice(5, p=_eye_shares(caucasian))]),
        hair=_jitter(rng, _HAIR[rng.choice(6, p=_HAIR_SHARES[ancestry])]),
        brow=float(rng.uniform(0.7, 1.3)) * (1.2 if sex == "male" else 0.85),
        hair_style=str(rng.choice(["cropped", "short", "full", "long"], p=style)),
        hair_wave=float(rng.uniform(0, 1)),
        gray_from=float(np.clip(rng.normal(45, 8), 28, 70)),
        bald_from=float(rng.uniform(24, 55)) if sex == "male" and rng.random() < 0.5 else float(rng.uniform(60, 85)),
        bald=float(rng.uniform(0.15, 1.0)) if sex == "male" else float(rng.uniform(0.0, 0.25)),
        beard=float(rng.choice([0.0, 0.0, 0.35, 1.0], p=[0.3, 0.25, 0.25, 0.2])) if sex == "male" else 0.0,
        lines=int(rng.integers(1 << 31)),
    )


def _eye_shares(caucasian: float) -> np.ndarray:
    light = max(0.0, caucasian - 0.4)
    shares = np.array([1.0 - light, 0.8 - light * 0.6, 0.7 * light, 0.9 * light, 0.5 * light])
    return shares / shares.sum()


def _jitter(rng: np.random.Generator, color: tuple[int, int, int]) -> Color:
    red, green, blue = np.clip(np.array(color) * rng.uniform(0.85, 1.15) + rng.normal(0, 3, size=3), 2, 255).tolist()
    return red, green, blue


@dataclass(frozen=True)
class Series:
    """The series of pictures of a seed: persons and ages. A picture does not depend on others.

    Args:
        seed: of the series.
        ages: the youngest and the oldest, in whole years.
        span: years between the first and the last picture of a person, at most.
    """

    seed: int
    ages: tuple[int, int]
    span: int

    def person(self, subject: int) -> Person:
        """The person with this number; the same in all series of a seed."""
        return sample_person(np.random.default_rng((self.seed, 1, subject)))

    def years(self, subject: int, image: int) -> int:
        """Age on a picture: spread evenly over all subjects, and within the span of each."""
        low, high = self.ages[0] - 0.5, self.ages[1] + 0.5
        start = np.random.default_rng((self.seed, 3)).random()
        middle = (start + subject * _GOLDEN) % 1
        own = np.random.default_rng((self.seed, 4, subject)).random()
        share = (middle * (high - low) + ((own + image * _GOLDEN) % 1 - 0.5) * self.span) / (high - low)
        # Mirrored at the ends, so that these are as frequent as other ages.
        mirrored = 1 - abs(1 - share % 2)
        return int(np.clip(np.floor(low + mirrored * (high - low) + 0.5), self.ages[0], self.ages[1]))

    def file(self, subject: int, image: int) -> str:
        """Name of a picture's file."""
        return f"{subject:05d}-{image:03d}.png"
