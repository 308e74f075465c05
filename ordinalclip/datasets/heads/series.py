"""The endless series of pictures that a seed names: who is on each, and how old."""

from dataclasses import dataclass

import numpy as np

from ordinalclip.datasets.heads.draw_person import sample_person
from ordinalclip.datasets.heads.person import Person

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Series:
    """A series; picture and label of a number depend on nothing else that is drawn.

    Args:
        seed: of the series.
        ages: the youngest and the oldest, in whole years.
        span: years between the first and the last picture of a person, at most.
    """

    seed: int
    ages: tuple[int, int]
    span: int

    def person(self, subject: int) -> Person:
        """Who has this number; the same in all series of a seed."""
        return sample_person(np.random.default_rng((self.seed, 1, subject)))

    def years(self, subject: int, image: int) -> int:
        """Age on a picture: ages are spread evenly over all subjects, and within the span of each."""
        low, high = self.ages[0] - 0.5, self.ages[1] + 0.5
        start = np.random.default_rng((self.seed, 3)).random()
        middle = (start + subject * _GOLDEN) % 1
        own = np.random.default_rng((self.seed, 4, subject)).random()
        share = (middle * (high - low) + ((own + image * _GOLDEN) % 1 - 0.5) * self.span) / (high - low)
        # Beyond the ends it is mirrored, so that they are as frequent as the rest.
        mirrored = 1 - abs(1 - share % 2)
        return int(np.clip(np.floor(low + mirrored * (high - low) + 0.5), self.ages[0], self.ages[1]))

    def file(self, subject: int, image: int) -> str:
        """Name of a picture's file."""
        return f"{subject:05d}-{image:03d}.png"
