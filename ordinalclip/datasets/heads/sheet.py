"""A contact sheet of heads: `python -m ordinalclip.datasets.heads.sheet docs/heads.png` made the one in docs/."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ordinalclip.datasets.heads.render import picture
from ordinalclip.datasets.heads.series import Series
from ordinalclip.datasets.heads.shape import OLDEST, YOUNGEST
from ordinalclip.datasets.heads.shot import sample_shot

GAP = 2
SUBJECTS = (1, 8, 11, 4, 12, 5)
AGES = (1, 5, 10, 16, 22, 30, 40, 50, 60, 70, 80, 90)


def contact_sheet(subjects: Sequence[int], ages: Sequence[int], *, size: int, seed: int = 0) -> Image.Image:
    """A person a row, a column an age; pose, light and background differ from picture to picture.

    Args:
        subjects: numbers of the persons, from top to bottom.
        ages: in years, from left to right.
        size: edge of a picture in pixels.
        seed: of the series of persons.

    Returns:
        An RGB image.
    """
    pitch = size + GAP
    sheet = Image.new("RGB", (len(ages) * pitch + GAP, len(subjects) * pitch + GAP), "white")
    series = Series(seed, (YOUNGEST, OLDEST), OLDEST)
    for row, subject in enumerate(subjects):
        person = series.person(subject)
        for column, years in enumerate(ages):
            rng = np.random.default_rng((seed, 2, subject, column))
            head = picture(rng, person, years, sample_shot(rng, person), size)
            sheet.paste(head, (GAP + column * pitch, GAP + row * pitch))
    return sheet


if __name__ == "__main__":
    # 256 colours keep the file small.
    contact_sheet(SUBJECTS, AGES, size=96).quantize(256).save(Path(sys.argv[1]), optimize=True)
