import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ordinalclip.datasets.drawn.heads.person import Series
from ordinalclip.datasets.drawn.heads.render import contact_sheet, picture, render_head
from ordinalclip.datasets.drawn.heads.shot import sample_shot
from ordinalclip.datasets.drawn.heads.skin import draw_charts
from tests.datasets.drawn.heads.needs import needs_anny

pytestmark = needs_anny
SERIES = Series(0, (1, 90), 12)
KNOWN = {
    (0, 0): [[[99, 69, 78], [119, 89, 80]], [[108, 77, 67], [102, 76, 69]]],
    (9, 2): [[[113, 108, 103], [100, 94, 94]], [[136, 122, 114], [125, 115, 109]]],
}
PROGRAM = """
import hashlib
from ordinalclip.datasets.drawn.heads.render import render_head
from ordinalclip.datasets.drawn.heads.person import Series
for key in ((8, 1), (3, 0)):
    print(hashlib.sha256(render_head(Series(0, (1, 90), 12), *key, 32).tobytes()).hexdigest())
"""


def seen(subject, years, size=48, **changes):
    """A person at an age; all circumstances but the age are the same in every call."""
    person = replace(SERIES.person(subject), **changes)
    shot = sample_shot(np.random.default_rng(subject), person)
    return np.asarray(picture(np.random.default_rng(subject), person, years, shot, size), dtype=float)


@pytest.mark.slow
def test_a_picture_is_the_same_in_another_process_and_order():
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.split()
    here = [hashlib.sha256(render_head(SERIES, *key, 32).tobytes()).hexdigest() for key in ((3, 0), (8, 1))]
    assert told == here[::-1]


def test_the_drawing_is_that_of_its_version():
    """Coarse colors of two pictures; if they change, raise `load.DRAWING_VERSION`. CPUs round differently."""
    found = [np.asarray(render_head(SERIES, *key, 64).resize((2, 2), Image.Resampling.BOX)) for key in KNOWN]
    np.testing.assert_allclose(found, [np.array(colors) for colors in KNOWN.values()], atol=2)


@pytest.mark.slow
def test_pictures_are_varied_and_neither_black_nor_white():
    pictures = [np.asarray(render_head(SERIES, subject, 0, 32), dtype=float) for subject in range(12)]
    assert min(one.std() for one in pictures) > 10
    assert min(one.mean() for one in pictures) > 20
    assert max(one.mean() for one in pictures) < 240
    assert np.std([one.mean() for one in pictures]) > 15


def test_neighboring_ages_look_alike_and_distant_ones_do_not():
    for subject in (1, 5):
        at = {years: seen(subject, years) for years in (30, 31, 60, 85)}
        steps = [np.abs(at[years] - at[30]).mean() for years in (31, 60, 85)]
        assert steps[0] < 0.5 * steps[1] < 0.5 * steps[2]


@pytest.mark.slow
def test_skin_folds_and_hair_pales_with_age():
    for subject in (0, 4, 6):
        person = SERIES.person(subject)
        shot = sample_shot(np.random.default_rng(0), person)
        folds = [draw_charts(person, years, shot).fold.mean() for years in (10, 30, 45, 60, 75, 90)]
        assert (np.diff(folds) > 0).all()
        spots = [draw_charts(person, years, shot).spot.mean() for years in (30, 60, 90)]
        assert (np.diff(spots) > 0).all()


def test_a_dark_skin_is_darker():
    pale, dark = (seen(1, 30, melanin=melanin) for melanin in (0.0, 1.0))
    face = (slice(24, 32), slice(20, 28))
    assert dark[face].mean() < pale[face].mean() - 20


@pytest.mark.parametrize("style", ["cropped", "short", "full", "long"])
@pytest.mark.parametrize("years", [1, 90])
def test_every_style_and_age_can_be_drawn(style, years):
    assert seen(2, years, size=17, hair_style=style).shape == (17, 17, 3)


def test_contact_sheet():
    assert contact_sheet((3,), (1, 90), size=16).size == (2 * 18 + 2, 20)
