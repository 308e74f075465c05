import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from ordinalclip.datasets.leakage import measure_leakage
from ordinalclip.datasets.load import check_split
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import MIN_CALIBRATION, assign_units, blocks, carve_calibration, given, holdout
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made import make_manifest

FRACTIONS = {"train": 0.6, "val": 0.15, "test": 0.25}


def shares(manifest):
    return {split: (manifest.table["split"] == split).mean() for split in FRACTIONS}


def test_holdout_has_every_rank_in_proportion():
    ranks = np.random.default_rng(0).integers(0, 7, size=500)
    table = holdout(make_manifest(ranks.tolist())).table
    for _, rows in table.groupby("rank"):
        for split, fraction in FRACTIONS.items():
            assert abs((rows["split"] == split).sum() - fraction * len(rows)) < 1
    for split, fraction in FRACTIONS.items():
        assert abs((table["split"] == split).sum() - fraction * 500) <= 1


def test_holdout_of_one_image_per_rank_keeps_the_totals():
    table = holdout(make_manifest(range(100))).table
    assert table["split"].value_counts().to_dict() == {"train": 60, "val": 15, "test": 25}


def test_seed_decides():
    manifest = make_manifest([0, 1, 2] * 40)
    drawn = [holdout(manifest, seed=seed).table["split"].tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_subjects_stay_whole_and_ranks_in_proportion():
    rng = np.random.default_rng(1)
    ranks, subjects = rng.integers(0, 5, size=1000), rng.integers(0, 150, size=1000)
    manifest = holdout(make_manifest(ranks.tolist(), subject=[f"s{subject}" for subject in subjects]))
    assert manifest.table.groupby("subject")["split"].nunique().eq(1).all()
    for _, rows in manifest.table.groupby("rank"):
        for split, fraction in FRACTIONS.items():
            assert abs((rows["split"] == split).mean() - fraction) < 0.04


@pytest.mark.slow
def test_subjects_and_groups_are_joined_through_each_other():
    # a-b share group 1, b-c share a subject: one family of four rows, whatever the seed.
    subject = ["a", "b", "b", "c", *map(str, range(40))]
    group = ["1", "1", "2", "2", *[None] * 40]
    for seed in range(10):
        table = holdout(make_manifest([0, 1] * 22, subject=subject, group=group), seed=seed).table
        assert table["split"][:4].nunique() == 1


def test_rows_without_subject_stand_alone():
    table = holdout(make_manifest([0, 1] * 50, subject=["a"] * 10 + [None] * 90)).table
    assert table["split"][:10].nunique() == 1
    assert set(table["split"][10:]) == set(FRACTIONS)


def test_blocks_are_whole_and_near_their_shares():
    ranks = np.repeat([0, 1, 2, 3], 250)
    manifest = blocks(make_manifest(ranks.tolist()), block_size=20)
    table = manifest.table
    assert table.groupby(table.index // 20)["split"].nunique().eq(1).all()
    for split, share in shares(manifest).items():
        assert share == pytest.approx(FRACTIONS[split], abs=0.03)
    for _, rows in table.groupby("rank"):
        for split, fraction in FRACTIONS.items():
            assert (rows["split"] == split).mean() == pytest.approx(fraction, abs=0.1)
    assert table["split"].tolist() == blocks(make_manifest(ranks.tolist()), block_size=20).table["split"].tolist()


def test_too_few_blocks():
    with pytest.raises(ConfigError, match=r"block_size=64.*\n.*allowed: 1…16"):
        blocks(make_manifest([0, 1] * 25))


@pytest.mark.parametrize("wrong", [{"train": 0.7}, {"train": 0.85, "val": 0.0, "test": 0.15}])
def test_shares_must_add_up(wrong):
    for protocol in (holdout, blocks):
        with pytest.raises(ConfigError, match="add up to"):
            protocol(make_manifest([0, 1] * 200), **wrong)


def test_holdout_keeps_a_given_split_and_says_so():
    split = ["train", "val", "test", "test"]
    manifest = make_manifest([0, 1, 0, 1], split=split)
    kept = holdout(manifest)
    assert kept.table["split"].tolist() == split
    assert "keep_given=false" in kept.notes[-1]
    assert holdout(manifest, keep_given=False).table["split"].tolist() != split


def test_given_names_what_is_wrong():
    with pytest.raises(DataError, match="use protocol=holdout"):
        given(make_manifest([0, 1]))
    with pytest.raises(DataError, match=r"2 rows [^\n]*:\n  1\.png: \(none\)\n  2\.png: dev2\n"):
        given(make_manifest([0, 1, 0], split=["train", None, "dev2"]))


def test_given_can_take_val_from_train():
    split = ["train"] * 80 + ["test"] * 20
    subjects = [str(index // 4) for index in range(100)]
    manifest = make_manifest([0, 1] * 50, split=split, subject=subjects)
    table = given(manifest, val_from_train=0.25).table
    assert table["split"].value_counts().to_dict() == {"train": 60, "val": 20, "test": 20}
    assert (table["split"][80:] == "test").all()
    assert table.groupby("subject")["split"].nunique().eq(1).all()
    assert manifest.table["split"].tolist() == split


def test_few_units_are_shared_out_as_well_as_can_be():
    """Six units, three splits: the best of all 3^6 assignments, found by trying each."""
    rng = np.random.default_rng(3)
    fractions = np.array([0.5, 0.25, 0.25])
    counts = rng.integers(1, 9, size=(6, 3))

    def distance(split):
        held = defaultdict(lambda: np.zeros(3))
        for unit, index in enumerate(split):
            held[index] = held[index] + counts[unit]
        if len(held) < 3:
            return np.inf
        total = counts.sum(axis=0)
        return sum((((held[s] - f * total) ** 2) / total).sum() / f for s, f in enumerate(fractions))

    everything = sorted(distance(split) for split in itertools.product(range(3), repeat=6))
    found = distance(assign_units(counts, fractions, np.random.default_rng(0)).tolist())
    assert found <= np.quantile(everything, 0.02)


@pytest.mark.parametrize(("num_units", "size", "num_ranks"), [(16, 2, 90), (24, 3, 90), (60, 3, 90), (30, 2, 60)])
def test_ranks_too_rare_to_be_shared_out_do_not_empty_a_split(num_units, size, num_ranks):
    rng = np.random.default_rng(0)
    counts = np.zeros((num_units, num_ranks), dtype=np.int64)
    for unit in counts:  # neighbouring ranks, as ages of one person
        unit[rng.integers(num_ranks - 8) + rng.permutation(8)[:size]] += 1
    split = assign_units(counts, np.array([0.6, 0.15, 0.25]), rng)
    shares = [counts[split == index].sum() / counts.sum() for index in range(3)]
    np.testing.assert_allclose(shares, [0.6, 0.15, 0.25], atol=0.05)


SPLIT = ["train"] * 40 + ["val"] * 80 + ["test"] * 40


def with_val(**columns: list) -> Manifest:
    return make_manifest([index % 4 for index in range(160)], split=SPLIT, **columns)


def rows(manifest: Manifest, split: str) -> np.ndarray:
    return np.flatnonzero((manifest.table["split"] == split).to_numpy())


def test_half_of_val_is_set_aside_and_nothing_else_moves() -> None:
    before = with_val()
    after = carve_calibration(before, 0.5, seed=3)
    assert np.array_equal(rows(after, "train"), rows(before, "train"))
    assert np.array_equal(rows(after, "test"), rows(before, "test"))
    assert np.bincount(after.table["rank"].iloc[rows(after, "calibration")]).tolist() == [10] * 4
    assert sorted([*rows(after, "val"), *rows(after, "calibration")]) == list(range(40, 120))
    assert after.content_hash != before.content_hash
    assert (
        carve_calibration(before, 0.5, seed=3).content_hash
        == after.content_hash
        != carve_calibration(before, 0.5).content_hash
    )


def test_subjects_and_blocks_stay_whole() -> None:
    subject = [f"person {index // 5}" for index in range(160)]
    after = carve_calibration(with_val(subject=subject), 0.5)
    assert len(rows(after, "calibration")) == 40
    assert measure_leakage(after)["subjects"]["pairs"]["val-calibration"] == 0
    after = carve_calibration(with_val(), 0.5, block_size=8)
    assert len(set(rows(after, "calibration") // 8) & set(rows(after, "val") // 8)) == 0
    assert len(rows(after, "calibration")) == 40


def test_images_of_one_subject_on_both_sides_are_counted_as_leakage() -> None:
    subject = [f"person {index}" for index in range(160)]
    subject[rows(carve_calibration(with_val(), 0.5), "calibration")[0]] = subject[-1]  # a test image's
    found = measure_leakage(carve_calibration(with_val(subject=subject), 0.5))["subjects"]
    assert found["pairs"]["val-test"] + found["pairs"]["calibration-test"] == 1
    assert found["test_images"] == 1


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_too_few_images_are_left_where_they_are(share: float) -> None:
    few = make_manifest([0, 1] * MIN_CALIBRATION, split=["val"] * (2 * MIN_CALIBRATION - 1) + ["test"])
    after = carve_calibration(few, share)
    assert len(rows(after, "calibration")) == 0
    assert f"{2 * MIN_CALIBRATION - 1} val images are too few" in after.notes[-1]
    one = with_val(subject=["the only one"] * 160)
    assert "too few" in carve_calibration(one, share).notes[-1]


def test_calibration_images_that_the_manifest_has_stay() -> None:
    before = with_val()
    assert carve_calibration(before, 0) is before
    own = carve_calibration(before, 0.25)
    assert carve_calibration(own, 0.5) is own


@pytest.mark.parametrize("column", ["subject", "group"])
@pytest.mark.parametrize("number", [3, 4, 5, 6])
def test_few_large_groups_fill_every_split(column: str, number: int) -> None:
    manifest = make_manifest(
        [row // number % 5 for row in range(30 * number)], **{column: [str(row % number) for row in range(30 * number)]}
    )
    table = holdout(manifest).table
    assert table.groupby(column)["split"].nunique().eq(1).all()
    sizes = table["split"].value_counts()
    assert (sizes["val"], sizes["test"]) in ((30, 30), (30, 60))
    assert sizes["train"] >= 30 * (number - 3) + (30 if number == 3 else 0)


@pytest.mark.parametrize("column", ["subject", "group"])
@pytest.mark.parametrize("number", [1, 2])
def test_too_few_groups_are_named_as_the_reason(column: str, number: int) -> None:
    manifest = make_manifest([row // 2 % 5 for row in range(60)], **{column: [str(row % number) for row in range(60)]})
    with pytest.raises(
        DataError, match=rf"column {column} (.|\n)*protocol=random(.|\n)*drop the column {column}"
    ) as caught:
        check_split(holdout(manifest))
    assert "more images" not in str(caught.value)
    check_split(holdout(manifest, keep_given=False, whole=False))  # protocol=random
    check_split(holdout(replace(manifest, table=manifest.table.assign(**{column: None}))))
