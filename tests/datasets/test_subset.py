from collections import Counter
from typing import Any

import numpy as np
import pytest

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.subset import take_subset
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
