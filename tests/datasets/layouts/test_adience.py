"""Adience in its own folds, with its dirty labels."""

import io
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from ordinalclip.datasets.layouts.adience import LABELS, load_adience
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import given
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made_ages import GROUPS, make_adience, write_folds

A, B = "30601258@N03", "113830953@N04"
FOLDS = [
    [(A, "1_o.jpg", 1, "(0, 2)", "f"), (A, "1_o.jpg", 2, "(60, 100)", "m")],
    [(B, "2_o.jpg", 3, "(27, 32)", "u"), (B, "3_o.jpg", 3, "None", "")],
    [("5@N00", "4_o.jpg", 4, "3", "f")],
    [("6@N00", "5_o.jpg", 5, "(38, 48)", "f"), ("6@N00", "6_o.jpg", 5, "55", "f")],
    [("7@N00", "7_o.jpg", 6, "(8, 23)", "f"), ("7@N00", "8_o.jpg", 6, "(25 23)", "m")],
]


def load(root: Path, **options: object) -> Manifest:
    return load_adience(root=str(root), obtain="register", data_dir=root, cache_dir=root.parent / "cache", **options)  # type: ignore[arg-type]


def test_folds(tmp_path: Path) -> None:
    write_folds(tmp_path / "a", FOLDS)
    manifest = load(tmp_path / "a", fold=1)
    table = manifest.table
    assert table["path"].tolist() == [
        f"aligned/{A}/landmark_aligned_face.1.1_o.jpg",
        f"aligned/{A}/landmark_aligned_face.2.1_o.jpg",
        f"aligned/{B}/landmark_aligned_face.3.2_o.jpg",
        "aligned/7@N00/landmark_aligned_face.6.8_o.jpg",
    ]
    assert table["rank"].tolist() == [0, 7, 4, 4]
    assert table["value"].tolist() == [1, 80, 28.5, 28.5]
    assert table["raw"].tolist() == ["(0, 2)", "(60, 100)", "(27, 32)", "(25 23)"]
    assert table["group"].tolist() == [A, A, B, "7@N00"]
    assert table["subject"].tolist() == [f"{A}/1", f"{A}/2", f"{B}/3", "7@N00/6"]
    assert table["fold"].tolist() == ["0", "0", "1", "4"]
    assert table["split"].tolist() == ["train", "train", "test", "train"]
    assert table["sex"].tolist()[:2] == ["female", "male"]
    assert pd.isna(table["sex"][2])
    assert manifest.num_ranks == 8
    assert manifest.notes == (
        f"age labels by {LABELS}, column contained: 1 × (25, 23) → 25 to 32; 1 × (27, 32) → 25 to 32",
        "left out 5 of 9 faces, whose labels have no rank: 1 × (38, 48), 1 × (8, 23), 1 × 3, 1 × 55, 1 × None",
    )


@pytest.mark.parametrize(
    ("labels", "ranks"),
    [
        ("strict", [0, 7, 4]),
        ("contained", [0, 7, 4, 4]),
        ("nearest", [0, 7, 4, 5, 6, 4]),
        ("common", [0, 7, 4, 0, 5, 7, 2, 4]),
    ],
)
def test_the_rules_for_labels(tmp_path: Path, labels: str, ranks: list[int]) -> None:
    write_folds(tmp_path / "a", FOLDS)
    assert load(tmp_path / "a", labels=labels).table["rank"].tolist() == ranks


def test_the_table_of_labels_keeps_its_rules() -> None:
    """Each column against its rule, written anew from the groups' bounds; `common` has a rank for all but None."""
    text = (resources.files("ordinalclip.datasets.layouts") / LABELS).read_text(encoding="utf-8")
    table = pd.read_csv(io.StringIO(text), comment="#", dtype="str", keep_default_na=False).set_index("raw")
    bounds = [(0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100)]
    wider = [(8, 13) if pair == (8, 12) else pair for pair in bounds]
    assert table["strict"][list(GROUPS)].tolist() == list("01234567")
    for raw, row in table.drop(index=["None", "(25, 23)"]).iterrows():
        ends = [int(end) for end in str(raw).strip("()").split(",")]
        low, high = ends[0], ends[-1]
        assert row["strict"] == (str(GROUPS.index(str(raw))) if raw in GROUPS else "")
        inside = [str(rank) for rank, (first, last) in enumerate(wider) if first <= low and high <= last]
        assert row["contained"] == "".join(inside)
        distance = [max(first - (low + high) / 2, (low + high) / 2 - last, 0) for first, last in bounds]
        nearest = [str(rank) for rank, far in enumerate(distance) if far == min(distance)]
        held = sum(low <= first and last <= high for first, last in bounds)
        assert row["nearest"] == (nearest[0] if len(nearest) == 1 and held < 2 else ""), raw
        assert row["common"] in [str(rank) for rank, far in enumerate(distance) if far <= 5]
    assert not table.loc["None"].any()


def test_frontal_folds_of_the_other_images_in_a_folder_of_their_own(tmp_path: Path) -> None:
    root = tmp_path / "a"
    write_folds(root, [fold[:1] for fold in FOLDS], stem="fold_frontal", images="faces")
    (root / "folds").mkdir()
    for file in root.glob("*.txt"):
        (root / "folds" / file.name).write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        file.unlink()
    table = load(root, frontal=True, images="faces", labels="common", fold=4).table
    assert table["path"].tolist()[:2] == [
        f"faces/{A}/coarse_tilt_aligned_face.1.1_o.jpg",
        f"faces/{B}/coarse_tilt_aligned_face.3.2_o.jpg",
    ]
    assert table["rank"].tolist() == [0, 4, 0, 5, 2]
    assert table["split"].tolist() == ["train"] * 4 + ["test"]


def test_a_face_in_two_folds_is_refused(tmp_path: Path) -> None:
    write_folds(tmp_path / "a", [FOLDS[0], FOLDS[0], *FOLDS[2:]])
    with pytest.raises(DataError, match="2 paths occur more than once"):
        load(tmp_path / "a")


def test_val_is_taken_from_the_training_folds_by_users(tmp_path: Path) -> None:
    make_adience(tmp_path / "a")
    table = given(load(tmp_path / "a", fold=2), val_from_train=0.15).table
    assert set(table.loc[table["split"] == "test", "fold"]) == {"2"}
    assert table.groupby("group")["split"].nunique().eq(1).all()
    assert set(table["split"]) == {"train", "val", "test"}


def test_faults(tmp_path: Path) -> None:
    root = tmp_path / "a"
    make_adience(root)
    with pytest.raises(DataError, match=r"half of Adience; there is no faces/[\s\S]*register"):
        load(root, images="faces")
    with pytest.raises(DataError, match=r"there is no fold_frontal_0_data.txt"):
        load(root, frontal=True)
    with pytest.raises(ConfigError, match=rf"dataset.root={root}"):
        load(tmp_path)
    gone = root / "aligned" / "00@N00" / "landmark_aligned_face.3.003_o.jpg"
    gone.unlink()
    with pytest.raises(DataError, match=r"1 of 120 images[\s\S]*landmark_aligned_face.3.003_o.jpg"):
        load(root)
    write_folds(root, [[(A, "1_o.jpg", 1, "(0, 3)", "f"), (A, "1_o.jpg", 2, "(0, 2)", "f")], *FOLDS[1:]])
    with pytest.raises(
        DataError, match=rf"1 age labels are not in {LABELS}:\n  aligned/{A}/landmark_aligned_face.1.1_o.jpg: \(0, 3\)"
    ):
        load(root)
    assert len(load(root, on_error="skip").table) == 3
    (root / "fold_3_data.txt").write_text("user_id\tage\nx\t3\n")
    with pytest.raises(DataError, match=r"fold_3_data.txt: has no column original_image and no face_id and no gender"):
        load(root)
