"""Blending targets into a head: age, sex, ancestry, muscle and weight, and whatever details make a person.

A macro target stands for a corner (such as an old, lean, muscular male) and counts by the product of how near a person
is to it in each property; within a property two neighbouring anchors share. The anchors of age are MakeHuman's own: a
baby is 1 year old, a child 10, the young 25, the old 90, linear between them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from ordinalclip.datasets.heads.mesh import head_mesh
from ordinalclip.datasets.heads.package import read_target

AGES = {"baby": 1.0, "child": 10.0, "young": 25.0, "old": 90.0}
YOUNGEST, OLDEST = 1, 90
ANCESTRIES = ("african", "asian", "caucasian")
_THIRDS = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Body:
    """What decides about the shape of a head.

    Args:
        years: age, 1…90.
        male: 0 is female, 1 is male, or between.
        ancestry: share of each of `ANCESTRIES`, adding up to 1.
        muscle: 0…1, 0.5 is average.
        weight: 0…1, 0.5 is average.
        details: how far to go towards each further target, by its name such as "head/head-round".
    """

    years: float
    male: float
    ancestry: tuple[float, float, float]
    muscle: float
    weight: float
    details: Mapping[str, float]


def shape(body: Body) -> np.ndarray:
    """Vertices of the head in decimetres [V, 3], in the order of `head_mesh().vertices`."""
    points = head_mesh().rest.copy()
    for name, share in macro_shares(body):
        points += share * _offsets(name)
    for name, share in body.details.items():
        if share:
            points += share * _offsets(name)
    return points


def macro_shares(body: Body) -> Iterator[tuple[str, float]]:
    """The macro targets that a body takes part in, and how far."""
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
    """How near a value is to each anchor: two neighbours share 1, linearly; beyond the ends the end has it all."""
    return np.array([np.interp(value, anchors, row) for row in np.eye(len(anchors))])


@cache
def _offsets(name: str) -> np.ndarray:
    """Offsets of a target at the head's vertices [V, 3]."""
    wanted = head_mesh().vertices
    vertices, offsets = read_target(name)
    dense = np.zeros((max(wanted.max(), vertices.max(initial=0)) + 1, 3))
    dense[vertices] = offsets
    return dense[wanted]
