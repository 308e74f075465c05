from collections import Counter
from typing import Any

import numpy as np
import pytest

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.subset import changed_rows, take_subset
from ordinalclip.errors import ConfigError
from tests.datasets.made import make_manifest

NONE: dict[str, Any] = {"shots": None, "shift_ranks": None, "shift_keep": None, "eval_min_rank": None, "seed": 0}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    rng = np.random.default_rng(3)
    ranks = rng.choice(8, size=600, p=[0.3, 0.02, 0.2, 0.01, 0.15, 0.15, 0.17, 0.0])
    return make_manifest(ranks.tolist(), num_ranks=8, split=rng.choice(["train", "val", "test"], size=600).tolist())


def images(manifest: Manifest, split: str, rank: int | None = None) -> set[str]:
    table = manifest.table
    rows = table[table["split"] == split]
    return set(rows["path"] if rank is None else rows["path"][rows["rank"] == rank])


def test_nothing_but_nulls_changes_nothing(manifest: Manifest) -> None:
    same = take_subset(manifest, **NONE | {"seed": 7})
    assert same.content_hash == manifest.content_hash
    assert same.notes == manifest.notes


def test_shots_of_each_rank(manifest: Manifest) -> None:
    taken = {shots: take_subset(manifest, **NONE | {"shots": shots}) for shots in (1, 2, 4, 1000)}
    for shots, subset in taken.items():
        for rank in range(8):
            there = images(manifest, "train", rank)
            kept = images(subset, "train", rank)
            assert kept <= there
            assert len(kept) == min(shots, len(there))
        assert images(subset, "val") == images(manifest, "val")
        assert images(subset, "test") == images(manifest, "test")
        assert list(subset.table["path"]) == list(manifest.table["path"])
    assert images(taken[1], "train") < images(taken[2], "train") < images(taken[4], "train")
    assert taken[1000].content_hash == manifest.content_hash
    assert taken[1].content_hash != taken[2].content_hash
    assert "1 training images a rank, 7 of" in taken[1].notes[0]


@pytest.mark.slow
def test_the_draw_depends_on_seed_and_content_alone(manifest: Manifest) -> None:
    kept = images(take_subset(manifest, **NONE | {"shots": 3}), "train")
    assert images(take_subset(manifest, **NONE | {"shots": 3}), "train") == kept
    assert images(take_subset(manifest, **NONE | {"shots": 3, "seed": 1}), "train") != kept
    mixed = manifest.table.sample(frac=1, random_state=5).reset_index(drop=True)
    shuffled = Manifest("x", mixed, manifest.rank_names, manifest.rank_values, "", manifest.root)
    assert images(take_subset(shuffled, **NONE | {"shots": 3}), "train") == kept
    draws = Counter(
        path
        for seed in range(100)
        for path in images(take_subset(manifest, **NONE | {"shots": 1, "seed": seed}), "train", 1)
    )
    expected = 100 / len(images(manifest, "train", 1))
    assert set(draws) == images(manifest, "train", 1)  # every image has its chance
    assert max(draws.values()) < expected + 6 * expected**0.5


@pytest.mark.parametrize(("num_ranks", "keep"), [(1, 0.2), (3, 0.1), (7, 0.2), (2, 0.001), (3, 1.0)])
def test_the_most_frequent_ranks_are_thinned(manifest: Manifest, num_ranks: int, keep: float) -> None:
    subset = take_subset(manifest, **NONE | {"shift_ranks": num_ranks, "shift_keep": keep})
    counts = {rank: len(images(manifest, "train", rank)) for rank in range(8)}
    frequent = sorted(counts, key=lambda rank: -counts[rank])[:num_ranks]  # sorted is stable: the lower of equals
    for rank in range(8):
        expected = max(int(counts[rank] * keep), 1) if rank in frequent else counts[rank]
        assert len(images(subset, "train", rank)) == expected
    assert images(subset, "test") == images(manifest, "test")


def test_evaluation_of_high_ranks_only(manifest: Manifest) -> None:
    subset = take_subset(manifest, **NONE | {"eval_min_rank": 5})
    table = manifest.table
    for split in ("val", "test"):
        assert images(subset, split) == set(table["path"][(table["split"] == split) & (table["rank"] >= 5)])
    assert images(subset, "train") == images(manifest, "train")
    both = take_subset(manifest, **NONE | {"eval_min_rank": 5, "shots": 1})
    assert len(images(both, "train")) == 7
    assert images(both, "test") == images(subset, "test")


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"shift_ranks": 3}, "subset.shift_keep"),
        ({"shift_keep": 0.3}, "subset.shift_ranks"),
        ({"shift_ranks": 3, "shift_keep": 0.2, "shots": 1}, "subset.shots"),
        ({"shift_ranks": 8, "shift_keep": 0.2}, "subset.shift_ranks"),
        ({"eval_min_rank": 7}, "subset.eval_min_rank"),
        ({"eval_min_rank": 8}, "subset.eval_min_rank"),
    ],
)
def test_settings_that_do_not_go_together(manifest: Manifest, options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        take_subset(manifest, **NONE | options)
    assert caught.value.key == key


def test_random_ranks_are_thinned_and_fewer_are_among_more(manifest: Manifest) -> None:
    whole = Counter(manifest.table["rank"][manifest.table["split"] == "train"])
    thinned = {}
    for number in (2, 4):
        options = {"shift_ranks": number, "shift_keep": 0.0, "shift_which": "random", "seed": 2}
        taken = Counter(
            (lambda table: table["rank"][table["split"] == "train"])(take_subset(manifest, **NONE | options).table)
        )
        thinned[number] = {rank for rank in whole if taken[rank] < whole[rank] or taken[rank] == whole[rank] == 1}
        assert len(thinned[number]) == number
    assert thinned[2] < thinned[4]
    ranks = set()
    for seed in range(20):
        subset = take_subset(manifest, **NONE | options | {"seed": seed})
        ranks.add(tuple(sorted(Counter(subset.table["rank"][subset.table["split"] == "train"]).items())))
    assert len(ranks) > 5


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        ({"hide_every": 3}, {2, 5}),
        ({"hide_every": 2}, {1, 3, 5}),  # 7 is the highest: leaving it out would be extrapolation
        ({"hide_below": 2}, {0, 1}),
        ({"hide_above": 5}, {6, 7}),
        ({"hide_every": 4, "hide_above": 6}, {3, 7}),
    ],
)
def test_unseen_ranks(manifest: Manifest, options: dict[str, Any], hidden: set[int]) -> None:
    subset = take_subset(manifest, **NONE | options)
    for rank in range(8):
        for split in ("train", "val"):
            assert images(subset, split, rank) == (set() if rank in hidden else images(manifest, split, rank))
        assert images(subset, "test", rank) == images(manifest, "test", rank)
    assert f"without {len(hidden)} of 8 ranks: {min(hidden)}, " in subset.notes[0]
    listed = changed_rows(subset)
    gone = manifest.table[manifest.table["rank"].isin(hidden) & manifest.table["split"].isin(["train", "val"])]
    assert list(listed["path"]) == list(gone["path"])
    assert list(listed["split_before_subset"]) == list(gone["split"])
    assert listed["split"].isna().all()


def test_what_fits_intervals_is_of_val_in_a_table_that_says_so() -> None:
    manifest = make_manifest([0, 1, 2, 3] * 4, split=["train"] * 4 + ["val"] * 4 + ["calibration"] * 4 + ["test"] * 4)
    unseen = take_subset(manifest, **NONE | {"hide_above": 1}).table
    assert unseen["split"].notna().tolist() == [True, True, False, False] * 3 + [True] * 4
    long_tail = take_subset(manifest, **NONE | {"eval_min_rank": 2}).table
    assert long_tail["split"].notna().tolist() == [True] * 4 + [False, False, True, True] * 3


def test_unseen_ranks_and_few_shots(manifest: Manifest) -> None:
    few = take_subset(manifest, **NONE | {"hide_every": 3, "shots": 2})
    seen = take_subset(manifest, **NONE | {"shots": 2})
    assert images(few, "train") == {path for rank in (0, 1, 3, 4, 6, 7) for path in images(seen, "train", rank)}


@pytest.mark.parametrize("kernel", ["neighbour", "uniform"])
def test_label_noise(kernel: str) -> None:
    ranks = np.arange(4000) % 5
    clean = make_manifest(ranks.tolist(), split=["train", "train", "train", "test"] * 1000)
    noisy = {
        share: take_subset(clean, **NONE | {"label_noise": share, "label_noise_kernel": kernel}) for share in (0.1, 0.4)
    }
    changed = {}
    for share, subset in noisy.items():
        table = subset.table
        wrong = table["rank"] != ranks
        assert (table["split"][wrong] == "train").all()
        assert wrong.sum() / 3000 == pytest.approx(share, abs=0.03)
        assert (table["value"] == table["rank"]).all()
        assert list(table["rank_before_noise"]) == list(ranks)
        assert table["rank"].between(0, 4).all()
        changed[share] = dict(zip(table["path"][wrong], table["rank"][wrong], strict=True))
        assert list(changed_rows(subset)["path"]) == list(changed[share])
        assert subset.content_hash != clean.content_hash
    assert changed[0.1].items() <= changed[0.4].items()
    moves = Counter(zip(ranks, noisy[0.4].table["rank"], strict=True))
    others = {rank: [moves[rank, to] for to in range(5) if to != rank and moves[rank, to] > 0] for rank in range(5)}
    assert [len(counts) for counts in others.values()] == ([1, 2, 2, 2, 1] if kernel == "neighbour" else [4] * 5)
    assert all(max(counts) < 2 * min(counts) for counts in others.values())
    other = take_subset(clean, **NONE | {"label_noise": 0.1, "label_noise_kernel": kernel, "seed": 1})
    assert other.content_hash != noisy[0.1].content_hash


def test_nothing_changed_is_an_empty_list(manifest: Manifest) -> None:
    assert len(changed_rows(take_subset(manifest, **NONE))) == 0
