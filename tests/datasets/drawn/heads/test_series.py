import numpy as np
import pytest

from ordinalclip.datasets.drawn.heads.person import Series, sample_person


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
    grey = [person.greyness(age) for age in ages]
    lost = [person.baldness(age) for age in ages]
    assert (np.diff(grey) > 0).all()
    assert (np.diff(lost) >= 0).all()
    assert grey[0] < 0.05
    assert grey[-1] > 0.95
    assert person.greyness(person.grey_from + 10) == pytest.approx(0.5)
