import numpy as np
import pandas as pd
import pytest

from ordinalclip.scoring.predictions import Predictions
from ordinalclip.scoring.subgroups import MIN_COUNT, MISSING, groups_of, rank_bands, subgroups


def predictions(num_ranks, rank, **attributes):
    rank = np.asarray(rank)
    names = [f"r{i}" for i in range(num_ranks)]
    return Predictions(
        np.eye(num_ranks)[rank], rank, names, np.arange(num_ranks, dtype=float), "rank",
        attributes={name: pd.Series(values) for name, values in attributes.items()},
    )  # fmt: skip


def test_means_counts_and_the_worst_group():
    rng = np.random.default_rng(0)
    error, sex = rng.exponential(size=200), ["f"] * 100 + ["m"] * 80 + [None] * 20
    found = subgroups(error, predictions(3, rng.integers(3, size=200), sex=sex))
    of_sex = found["by"]["sex"]
    assert [(one["name"], one["count"]) for one in of_sex["groups"]] == [("f", 100), ("m", 80)]
    assert of_sex["groups"][0]["mae"] == pytest.approx(error[:100].mean())
    half = 1.96 * error[:100].std(ddof=1) / 10
    assert of_sex["groups"][0]["high"] - of_sex["groups"][0]["mae"] == pytest.approx(half)
    assert of_sex["too_few"] == [{"name": MISSING, "count": 20}]
    means = [error[:100].mean(), error[100:180].mean()]
    assert of_sex["gap"] == pytest.approx(abs(means[0] - means[1]))
    assert found["worst"]["attribute"] == "sex"
    assert found["worst"]["mae"] == pytest.approx(max(means))


def test_a_small_group_is_named_and_never_the_worst():
    error = np.r_[np.ones(MIN_COUNT), 100.0 * np.ones(MIN_COUNT - 1)]
    site = ["a"] * MIN_COUNT + ["b"] * (MIN_COUNT - 1)
    found = subgroups(error, predictions(2, np.zeros(len(error), int), site=site))
    assert found["worst"]["name"] == "a"
    assert found["by"]["site"]["too_few"] == [{"name": "b", "count": MIN_COUNT - 1}]
    assert found["by"]["site"]["gap"] is None


def test_bands_run_along_the_scale():
    assert list(rank_bands(predictions(3, [2, 0, 1]))) == ["r2", "r0", "r1"]
    bands = rank_bands(predictions(12, range(12)))
    assert list(bands.cat.categories) == ["r0 … r2", "r3 … r5", "r6 … r7", "r8 … r9", "r10 … r11"]
    assert list(bands)[5:8] == ["r3 … r5", "r6 … r7", "r6 … r7"]
    found = subgroups(np.repeat([1.0, 3.0], 30), predictions(12, [11] * 30 + [0] * 30))
    assert [one["name"] for one in found["by"]["rank band"]["groups"]] == ["r0 … r2", "r10 … r11"]
    assert found["worst"] is None  # bands are no attribute
    assert found["worst_band"]["mae"] == 3


def test_numbers_are_cut_into_quarters_and_file_names_are_no_groups():
    quarters = groups_of(pd.Series(np.arange(100.0)))
    assert quarters.value_counts().tolist() == [25] * 4 + [0]
    assert list(groups_of(pd.Series([10.0, 2.0, np.nan])).cat.categories) == ["2", "10", MISSING]
    assert list(groups_of(pd.Series([True, False]))) == ["True", "False"]
    assert groups_of(pd.Series([f"{i}.png" for i in range(60)])) == "60 different values, more than 50"
    assert groups_of(pd.Series([None, None])) == "not known of any image"


def test_images_of_a_subject_count_as_one_in_the_interval():
    error = np.repeat(np.random.default_rng(0).exponential(size=20), 5)
    alone = predictions(2, np.zeros(100, int), site=["a"] * 100)
    together = Predictions(**(vars(alone) | {"family": np.repeat(np.arange(20), 5)}))
    widths = [
        one["high"] - one["low"] for data in (alone, together) for one in subgroups(error, data)["by"]["site"]["groups"]
    ]
    assert widths[1] == pytest.approx(widths[0] * np.sqrt(5 * 99 / 100 * 20 / 19))
