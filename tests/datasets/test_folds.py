from typing import Any

import numpy as np
import pytest

from ordinalclip.datasets.folds import folds, leave_one_subject_out
from ordinalclip.datasets.leakage import measure_leakage
from ordinalclip.datasets.load import check_split
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import holdout
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made import make_manifest

NUM_IMAGES, NUM_SUBJECTS = 400, 80


@pytest.fixture(scope="module")
def people() -> Manifest:
    rng = np.random.default_rng(0)
    subjects = [str(number) for number in rng.integers(0, NUM_SUBJECTS, NUM_IMAGES)]
    return make_manifest(rng.integers(0, 4, NUM_IMAGES).tolist(), subject=subjects)


def images(manifest: Manifest, split: str) -> set[str]:
    return set(manifest.table["path"][manifest.table["split"] == split])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "options"),
    [
        (5, {"val_from_train": 0.15}),
        (4, {"num_folds": 4, "val_folds": 1}),
        (5, {"num_folds": 10, "test_folds": 2, "val_folds": 2, "whole": "subjects"}),
        (5, {"val_from_train": 0.15, "whole": "nothing"}),
    ],
)
def test_every_image_is_tested_once(people: Manifest, runs: int, options: dict[str, Any]) -> None:
    turns = [folds(people, fold=fold, **options) for fold in range(runs)]
    tested = [path for turn in turns for path in images(turn, "test")]
    assert sorted(tested) == sorted(people.table["path"])
    for turn in turns:
        sizes = turn.table["split"].value_counts() / NUM_IMAGES
        assert sizes["test"] == pytest.approx(1 / runs, abs=0.03)
        assert not turn.table["split"].isna().any()
        assert measure_leakage(turn)["subjects"]["shared"] == 0 or options.get("whole") == "nothing"
        assert turn.table["fold"].equals(turns[0].table["fold"])  # the folds do not depend on which is tested
    if options.get("val_folds") == 2:
        assert sizes["val"] == pytest.approx(0.2, abs=0.03)
        assert images(turns[0], "val") == images(turns[1], "test")
        assert images(turns[4], "val") == images(turns[0], "test")  # counted round
    with pytest.raises(ConfigError, match=f"there are {runs} runs"):
        folds(people, fold=runs, **options)


@pytest.mark.slow
def test_ranks_are_in_proportion_and_the_seed_draws(people: Manifest) -> None:
    one, other = (folds(people, val_from_train=0.1, seed=seed) for seed in (0, 1))
    assert images(one, "test") != images(other, "test")
    assert images(one, "test") == images(folds(people, val_from_train=0.1), "test")
    counts = one.table.groupby(["fold", "rank"]).size().unstack().to_numpy()
    assert (np.abs(counts - counts.mean(axis=0)) <= 3).all()


def test_folds_that_came_with_the_data(people: Manifest) -> None:
    words = np.array(["10", "9", "2"])[np.arange(NUM_IMAGES) % 3]
    given = Manifest("x", people.table.assign(fold=words), people.rank_names, people.rank_values, "", people.root)
    first = folds(given, val_folds=1)
    assert images(first, "test") == set(people.table["path"][words == "2"])  # in the order of numbers
    assert images(first, "val") == set(people.table["path"][words == "9"])
    assert "the 3 folds that came with the data" in first.notes[-1]
    drawn = folds(given, val_folds=1, keep_given=False)
    assert set(drawn.table["fold"]) == {"0", "1", "2", "3", "4"}
    gaps = given.table["fold"].where(np.arange(NUM_IMAGES) > 1)
    with pytest.raises(DataError, match="2 of 400 rows have no fold"):
        folds(Manifest("x", given.table.assign(fold=gaps), ("0", "1"), (0, 1), "", people.root), val_folds=1)


def test_one_subject_at_a_time(people: Manifest) -> None:
    known = sorted({int(subject) for subject in people.table["subject"]})
    for fold in (0, 2, len(known) - 1):
        turn = leave_one_subject_out(people, fold=fold)
        assert set(turn.table["subject"][turn.table["split"] == "test"]) == {str(known[fold])}
        assert measure_leakage(turn)["subjects"]["shared"] == 0
        assert {"train", "val", "test"} == set(turn.table["split"])
    with pytest.raises(ConfigError, match=f"there are {len(known)} subjects"):
        leave_one_subject_out(people, fold=len(known))


def test_subjects_may_have_to_be_known() -> None:
    unknown = make_manifest([0, 1] * 20, subject=["a", "b"] * 19 + ["a", None])
    for protocol in (lambda m: folds(m, val_folds=1, whole="subjects"), leave_one_subject_out):
        with pytest.raises(DataError, match=r"subject of 1 of 40 images is unknown(.|\n)*protocol=folds"):
            protocol(unknown)
    with pytest.raises(DataError, match="3 subjects or groups cannot be split into 5 folds"):
        folds(unknown, val_folds=1)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "val_folds"),
        ({"val_folds": 1, "val_from_train": 0.1}, "val_folds"),
        ({"val_folds": 1, "test_folds": 2}, "test_folds"),
        ({"num_folds": 4, "val_folds": 2, "test_folds": 2}, "test_folds"),
    ],
)
def test_numbers_that_do_not_go_together(people: Manifest, options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        folds(people, **options)
    assert caught.value.key == f"protocol.split.{key}"


def test_a_random_split_leaks_and_says_so(people: Manifest) -> None:
    leaking = holdout(people, whole=False)
    report = measure_leakage(leaking)["subjects"]
    subjects = {split: set(rows["subject"]) for split, rows in leaking.table.groupby("split")}
    both = subjects["test"] & (subjects["train"] | subjects["val"])
    tested = leaking.table[leaking.table["split"] == "test"]
    assert report["test_images"] == tested["subject"].isin(both).sum() > 0
    assert report["test_rate"] == pytest.approx(report["test_images"] / len(tested))
    assert report["pairs"]["train-test"] == len(subjects["train"] & subjects["test"])
    assert any("subjects stand in more than one split" in note for note in check_split(leaking).notes)
    with pytest.raises(DataError, match=r"leakage=forbid does(.|\n)*subjects stand(.|\n)*what to do"):
        check_split(leaking, leakage="forbid")
    assert check_split(holdout(people), leakage="forbid").table["split"].notna().all()


def test_units_of_one_rank_are_spread_over_all_folds() -> None:
    """Where no fold lacks more of a rank than another, the emptiest takes the next subject."""
    alike = make_manifest([row % 4 for row in range(60)], subject=[str(row % 20) for row in range(60)])
    sizes = folds(alike, num_folds=10, val_folds=1).table["fold"].value_counts()
    assert sizes.tolist() == [6] * 10
    assert set(holdout(alike, train=0.9, val=0.05, test=0.05).table["split"]) == {"train", "val", "test"}
