import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ordinalclip.datasets.manifest import COLUMNS, Manifest, build_manifest, match_ranks, unit_note
from ordinalclip.errors import DataError
from tests.datasets.made import make_manifest, write_image


def build(tmp_path, paths, ranks, num_ranks=3, **options):
    return build_manifest(
        pd.DataFrame({"path": paths, "rank": ranks}),
        name="made",
        rank_names=[f"grade {rank}" for rank in range(num_ranks)],
        rank_values=range(num_ranks),
        unit="grade",
        root=tmp_path,
        cache_dir=tmp_path / "cache",
        **options,
    )


def test_columns_are_filled(tmp_path):
    for index in range(3):
        write_image(tmp_path / f"{index}.png", index)
    manifest = build(tmp_path, ["0.png", "1.png", "2.png"], [0, 2, 1])
    assert list(manifest.table) == [*COLUMNS, "raw"]
    assert manifest.table["raw"].tolist() == ["0", "2", "1"]
    assert manifest.table["value"].tolist() == [0.0, 2.0, 1.0]
    assert manifest.table[["subject", "group", "split"]].isna().all(axis=None)
    assert manifest.table["sha256"].str.len().eq(64).all()
    assert manifest.num_ranks == 3
    assert manifest.files()[1] == tmp_path / "1.png"


def test_all_broken_images_are_named_up_to_twenty(tmp_path):
    paths = [f"{index}.png" for index in range(30)]
    with pytest.raises(DataError) as caught:
        build(tmp_path, paths, [0] * 30)
    message = str(caught.value)
    assert "30 of 30 images" in message
    assert "19.png: file not found" in message
    assert "20.png" not in message
    assert "and 10 more" in message
    assert message.endswith("check that dataset.root is the right folder and the images are unpacked")


def test_skip_records_what_it_skipped(tmp_path):
    write_image(tmp_path / "good.png")
    write_image(tmp_path / "fine.png", 1)
    (tmp_path / "bad.png").write_bytes(b"")
    manifest = build(tmp_path, ["good.png", "bad.png", "fine.png"], [0, 1, 2], on_error="skip")
    assert manifest.table["path"].tolist() == ["good.png", "fine.png"]
    assert manifest.table.index.tolist() == [0, 1]
    assert "skipped 1 of 3" in manifest.notes[0]
    assert "bad.png" in manifest.notes[0]


def test_nothing_left_to_skip_to_is_an_error(tmp_path):
    with pytest.raises(DataError, match="2 of 2 images"):
        build(tmp_path, ["a.png", "b.png"], [0, 1], on_error="skip")


@pytest.mark.parametrize("rank", [-1, 3])
def test_ranks_out_of_range_are_named(tmp_path, rank):
    with pytest.raises(DataError, match=rf"outside 0…2:\n  b.png: rank {rank}"):
        build(tmp_path, ["a.png", "b.png"], [0, rank])


def test_duplicate_paths_are_named(tmp_path):
    with pytest.raises(DataError, match=r"a.png: 2 rows"):
        build(tmp_path, ["a.png", "b.png", "a.png"], [0, 1, 2])


def test_nothing_and_one_rank_are_refused(tmp_path):
    with pytest.raises(DataError, match="no rows"):
        build(tmp_path, [], [])
    with pytest.raises(DataError, match="two or more"):
        build(tmp_path, ["a.png"], [0], num_ranks=1)


def test_content_hash_is_of_contents_and_labels_only(tmp_path):
    manifest = make_manifest([0, 1, 2], split=["train", "val", "test"])
    table = manifest.table
    same = [
        replace(manifest, root=tmp_path, name="other", notes=("a note",)),
        replace(manifest, table=table.assign(path=["x", "y", "z"])),
        replace(manifest, table=table.assign(cell_type="mono")),
    ]
    assert {other.content_hash for other in same} == {manifest.content_hash}
    others = [
        replace(manifest, table=table.assign(rank=[0, 1, 1])),
        replace(manifest, table=table.assign(split=["train", "test", "val"])),
        replace(manifest, table=table.assign(subject=["a", "b", "c"])),
        replace(manifest, table=table.assign(sha256="0" * 64)),
        replace(manifest, table=table.iloc[::-1]),
        replace(manifest, rank_names=("a", "b", "c")),
        replace(manifest, rank_values=(0.0, 1.0, 3.0)),
    ]
    assert len({other.content_hash for other in [manifest, *others]}) == 1 + len(others)


def test_the_hash_is_that_of_its_rows_as_json():
    """As it was first written: run ids depend on it."""
    manifest = make_manifest([0, 1, 2, 1], subject=['ä "x"', None, "007", "NA"], split=["train", None, "val", "test"])
    manifest.table["value"] = [0.1, 1e20, 2.0, -3.5]
    digest = hashlib.sha256(json.dumps([manifest.rank_names, manifest.rank_values]).encode())
    for row in manifest.table.itertuples():
        cells = [row.sha256, row.rank, row.value, row.subject, row.group, row.split]
        digest.update(json.dumps([None if pd.isna(cell) else cell for cell in cells]).encode() + b"\n")
    assert manifest.content_hash == digest.hexdigest()


def test_annotators_labels_enter_the_hash_and_raw_labels_do_not():
    plain = make_manifest([0, 1])
    more = {column: replace(plain, table=plain.table.assign(**{column: ["0 1", "1"]})) for column in ("raw", "labels")}
    assert more["raw"].content_hash == plain.content_hash
    assert more["labels"].content_hash != plain.content_hash
    deviating = replace(plain, table=plain.table.assign(deviation=[0.5, float("nan")]))
    assert deviating.content_hash != plain.content_hash


def test_known_columns_are_typed_and_others_are_attributes(tmp_path):
    table = pd.DataFrame({"path": ["a.png", "b.png"], "rank": [0, 1], "raw": [3, 4], "deviation": ["1.5", None]})
    table["fold"], table["labels"], table["sex"] = [1, 2], ["0 1", "1"], ["f", "m"]
    for path in table["path"]:
        write_image(tmp_path / path)
    made = {"name": "x", "rank_names": "ab", "rank_values": (0, 1), "unit": "", "root": tmp_path, "cache_dir": tmp_path}
    manifest = build_manifest(table, **made)
    assert manifest.table["raw"].tolist() == ["3", "4"]
    assert manifest.table["fold"].tolist() == ["1", "2"]
    assert manifest.table["deviation"].tolist()[0] == 1.5
    assert manifest.attributes == ["sex"]
    for wrong in ("0 2", "", "0  1", "a", None):
        with pytest.raises(DataError, match=r"1 rows have labels that are not ranks 0…1(.|\n)*b\.png: "):
            build_manifest(table.assign(labels=["0", wrong]), **made)


HERE = Manifest(
    name="theirs",
    table=pd.DataFrame({"path": list("abcd"), "rank": [0, 1, 2, 2]}),
    rank_names=("old", "middle", "new"),
    rank_values=(30.0, 20.0, 10.0),
    unit="years",
    root=Path(),
)


def test_ranks_follow_their_values() -> None:
    matched = match_ranks(HERE, ("a", "b", "c"), (10.0, 20.0, 30.0))
    assert list(matched.table["rank"]) == [2, 1, 0, 0]
    assert matched.rank_names == ("a", "b", "c")
    assert matched.rank_values == (10.0, 20.0, 30.0)
    assert list(HERE.table["rank"]) == [0, 1, 2, 2]
    same = match_ranks(replace(HERE, rank_values=(1.0, 2.0, 3.0)), HERE.rank_names, (1.0, 2.0, 3.0))
    assert list(same.table["rank"]) == [0, 1, 2, 2]


def test_other_values_are_told() -> None:
    with pytest.raises(DataError, match="has 3 ranks, the run 2; values only in theirs: 20; only in the run: none"):
        match_ranks(HERE, ("a", "b"), (10.0, 30.0))
    with pytest.raises(DataError, match=r"ages outside 10…30 by dataset\.first_age[\s\S]*outside=leave_out"):
        match_ranks(HERE, ("a", "b"), (10.0, 30.0))
    with pytest.raises(DataError, match=r"only in theirs: 20; only in the run: 25.5"):
        match_ranks(HERE, ("a", "b", "c"), (10.0, 25.5, 30.0))
    many = [float(value) for value in range(100)]
    with pytest.raises(DataError, match=r"only in theirs: 20; only in the run: 0, 1, 2, 3, 4, 5, 6, 7 … and \d+ more"):
        match_ranks(HERE, [str(value) for value in many if value != 20], [value for value in many if value != 20])


def test_a_set_may_have_some_of_the_ranks_and_ranks_that_no_image_has() -> None:
    matched = match_ranks(HERE, ("x", "a", "b", "y", "c"), (5.0, 10.0, 20.0, 25.0, 30.0))
    assert list(matched.table["rank"]) == [4, 2, 1, 1]
    unused = replace(HERE, table=HERE.table[HERE.table["rank"] != 1].reset_index(drop=True))
    assert list(match_ranks(unused, ("a", "b"), (10.0, 30.0)).table["rank"]) == [1, 0, 0]


def test_another_unit_is_told() -> None:
    assert unit_note(HERE, "years") == unit_note(HERE, "") == unit_note(replace(HERE, unit=""), "years") == []
    assert unit_note(HERE, "grade") == [
        "ranks are matched by their values, and theirs's are in years, the run's in grade"
    ]
