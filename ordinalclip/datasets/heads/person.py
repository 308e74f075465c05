"""Who is seen: what stays with a person for life, and what age makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ordinalclip.datasets.heads.shape import Body

SEXES = ("female", "male")
Colour = tuple[float, float, float]

# What goes on changing through a long life beyond the macro targets: target, first year, last year, how far.
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


@dataclass(frozen=True)
class Person:
    """What stays with a person for life.

    Args:
        sex: one of `SEXES`.
        ancestry: the greatest share of `mixture`.
        male: how male the shape is, 0…1.
        mixture: shares of `ANCESTRIES`.
        muscle: 0…1.
        weight: 0…1, as a grown-up of 25.
        gain: change of `weight` from 25 to 60.
        features: shape of the face, by target.
        prone: how strongly the skin ages, about 1.
        ageing: how far each of the ageing targets goes, about 1.
        melanin: 0 is the palest skin, 1 the darkest.
        ruddy: redness of cheeks and nose, 0…1.
        eyes: colour of the iris (sRGB, 0…255).
        hair: colour of the hair while it has its colour.
        brow: thickness of the eyebrows, about 1.
        hair_style: "cropped", "short", "full", or "long".
        hair_wave: how wavy the strands lie, 0…1.
        grey_from: age at which the hair turns grey, half of it ten years later.
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
    eyes: Colour
    hair: Colour
    brow: float
    hair_style: str
    hair_wave: float
    grey_from: float
    bald_from: float
    bald: float
    beard: float
    lines: int

    def body(self, years: float, expression: Mapping[str, float]) -> Body:
        """The shape at an age, with a look on the face."""
        details = dict(self.features)
        # A child's face has little of what will mark the grown-up.
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

    def greyness(self, years: float) -> float:
        """Share of white hair, 0…1."""
        return float(1 / (1 + np.exp(-(years - self.grey_from - 10) / 4.5)))

    def baldness(self, years: float) -> float:
        """Share of the lost hair, 0…1."""
        return self.bald * ramp(years, self.bald_from, self.bald_from + 40)


def ramp(years: float, first: float, last: float) -> float:
    """0 up to the first age, 1 from the last on, linear between."""
    return float(np.clip((years - first) / (last - first), 0, 1))


def both_sides(name: str) -> tuple[str, ...]:
    """The targets that a name with or without `{side}` stands for."""
    return tuple(name.format(side=side) for side in "lr") if "{side}" in name else (name,)
