"""All that is drawn on the chart of one head, made once a picture."""

from dataclasses import dataclass

import numpy as np

from ordinalclip.datasets.heads import hair, skin
from ordinalclip.datasets.heads.person import Person
from ordinalclip.datasets.heads.shot import Shot


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
    """Draw what a person carries at an age."""
    fold = skin.relief(person, years)
    down, right = np.gradient(fold)
    return Charts(
        fold=fold,
        right=right,
        up=-down,
        spot=skin.spots(person, years),
        red=skin.redness(person, years),
        scalp=hair.scalp(person, years),
        brow=hair.brows(person, years),
        beard=hair.beard(person, years, shot),
        strand=hair.strands(person),
    )
