"""MORPH II from its CSV, and by the lists of settings A to D in both numberings."""

from pathlib import Path

import pandas as pd
import pytest

from ordinalclip.datasets.layouts.morph import load_morph
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import holdout
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made_morph import make_morph_csv, morph_row, write_csv, write_images, write_lists

NAMES = [
    f"{subject:06d}_{picture}M{age}.JPG"
    for subject, picture, age in [
        (7, 0, 16),
        (7, 1, 18),
        (8, 0, 20),
        (9, 10, 33),
        (9, 2, 35),
        (10, 3, 77),
        (11, 0, 41),
        (12, 0, 42),
        (13, 0, 43),
        (14, 0, 44),
    ]
]


def load(root: Path, **options: object) -> Manifest:
    return load_morph(root=str(root), obtain="ask UNCW", data_dir=root, cache_dir=root.parent / "cache", **options)  # type: ignore[arg-type]


def test_the_csv(tmp_path: Path) -> None:
    rows = [
        morph_row("000007_0M16.JPG", race="W"),
        morph_row("000007_1M18.JPG", race="W"),
        morph_row("101157_5F39.JPG"),
    ]
    write_csv(tmp_path / "m", rows)
    manifest = load(tmp_path / "m")
    table = manifest.table
    assert table["path"].tolist() == ["Album2/000007_0M16.JPG", "Album2/000007_1M18.JPG", "Album2/101157_5F39.JPG"]
    assert table["rank"].tolist() == [0, 2, 23]
    assert table["value"].tolist() == [16, 18, 39]
    assert table["raw"].tolist() == ["16", "18", "39"]
    assert table["subject"].tolist() == ["000007", "000007", "101157"]
    assert table["sex"].tolist() == ["male", "male", "female"]
    assert table["ancestry"].tolist() == ["white", "white", "black"]
    assert table["split"].isna().all()
    assert manifest.num_ranks == 62
    assert (manifest.rank_names[0], manifest.rank_names[-1], manifest.unit) == ("16", "77", "year")
    assert manifest.notes == ()


def test_the_default_protocol_keeps_subjects_whole(tmp_path: Path) -> None:
    make_morph_csv(tmp_path / "m")
    table = holdout(load(tmp_path / "m")).table
    assert table.groupby("subject")["split"].nunique().eq(1).all()
    assert table["subject"].nunique() == 40
    assert set(table["split"]) == {"train", "val", "test"}


def test_contradictions_are_told_and_the_columns_age_is_used(tmp_path: Path) -> None:
    rows = [
        morph_row("000007_0M16.JPG", dob="03/01/1960"),
        morph_row("000007_1M16.JPG", dob="03/02/1960", race="W"),
        morph_row("000008_0F30.JPG", gender="M", age=31, dob="06/15/1959"),
        morph_row("000009_0F30.JPG", dob="06/16/1959"),  # the day before the 31st birthday
        morph_row("000010_0F30.JPG", dob="unknown"),
    ]
    write_csv(tmp_path / "m", rows)
    manifest = load(tmp_path / "m")
    assert manifest.table["value"].tolist() == [16, 16, 31, 30, 30]
    assert manifest.table["sex"].tolist() == ["male", "male", "male", "female", "female"]
    starts = [note.splitlines()[0].removeprefix("MORPH's metadata: ") for note in manifest.notes]
    assert starts == [
        "1 subjects have two or more dates of birth in the CSV:",
        "1 subjects have two or more races in the CSV:",
        "1 images have another age in their names, and the table's is used:",
        "1 images have another sex in their names, and the CSV's is used:",
        "1 rows of MORPH's CSV have dates that are not of the form month/day/year",
    ]
    assert "000007: 03/01/1960, 03/02/1960" in manifest.notes[0]
    assert "Album2/000008_0F30.JPG: 31 and 30" in manifest.notes[2]


def test_dates_that_contradict_the_age(tmp_path: Path) -> None:
    write_csv(tmp_path / "m", [morph_row("000007_0M16.JPG", dob="03/01/1951"), morph_row("000008_0M17.JPG")])
    (note,) = load(tmp_path / "m").notes
    assert "1 images have another age by their dates" in note
    assert "Album2/000007_0M16.JPG: 16 and 25" in note


@pytest.mark.parametrize(
    ("setting", "fold", "tested", "folds"),
    [
        ("mwr_a", 0, [0, 5], set()),
        ("mwr_a", 3, [3, 8], set()),
        ("mwr_b", 1, [0, 2, 3, 5, 6, 8, 9], set()),
        ("mwr_c", 2, [2, 7], {"0", "1", "2", "3", "4"}),
        ("mwr_d", 4, [4, 9], {"0", "1", "2", "3", "4"}),
        ("l2rclip_c", 2, [2, 7], {"0", "1", "2", "3", "4"}),
        ("l2rclip_d", 0, [0, 5], {"0", "1", "2", "3", "4"}),
    ],
)
def test_settings(tmp_path: Path, setting: str, fold: int, tested: list[int], folds: set[str]) -> None:
    write_images(tmp_path / "m", NAMES)
    write_lists(tmp_path / "lists", NAMES)
    manifest = load(tmp_path / "m", setting=setting, lists=str(tmp_path / "lists"), fold=fold)
    table = manifest.table
    assert sorted(table["path"]) == sorted(f"Album2/{name}" for name in NAMES)
    assert set(table.loc[table["split"] == "test", "path"]) == {f"Album2/{NAMES[index]}" for index in tested}
    assert (table["split"] == "train").sum() == len(NAMES) - len(tested)
    assert dict(zip(table["path"], table["value"], strict=True))["Album2/000009_10M33.JPG"] == 33
    assert set(table.get("fold", pd.Series()).dropna()) == folds
    # Codes of sex differ from list to list; the names' letter is what is read.
    assert set(table["sex"]) == {"male"}
    assert table.loc[table["path"].str.contains("000007"), "subject"].tolist() == ["000007", "000007"]


def test_which_file_a_setting_names(tmp_path: Path) -> None:
    """MWR's C is the subject-exclusive one, and L2RCLIP's D; each reads its own files only."""
    write_images(tmp_path / "m", NAMES)
    for setting, kept in (("mwr_c", "SE"), ("mwr_d", "RS"), ("l2rclip_d", "settingD"), ("l2rclip_c", "settingC")):
        folder = tmp_path / setting
        write_lists(folder, NAMES)
        for other in ("SE", "RS", "settingC", "settingD"):
            if other != kept:
                (folder / other).rename(folder / f"not_{other}")
        assert len(load(tmp_path / "m", setting=setting, lists=str(folder)).table) == len(NAMES)


def test_faults_of_lists(tmp_path: Path) -> None:
    root, lists = tmp_path / "m", tmp_path / "lists"
    write_images(root, NAMES)
    with pytest.raises(ConfigError, match=r"there is no list .*SE/Setting_4.txt[\s\S]*ask UNCW"):
        load(root, setting="mwr_c")
    write_lists(lists, [*NAMES, "000099_0M50.JPG"])
    with pytest.raises(DataError, match=r"1 of 11 images[\s\S]*000099_0M50.JPG[\s\S]*ask UNCW"):
        load(root, setting="mwr_c", lists=str(lists))
    with pytest.raises(ConfigError, match=r"setting mwr_b has 3 folds"):
        load(root, setting="mwr_b", lists=str(lists), fold=3)
    file = lists / "SE/Setting_4.txt"
    file.write_text("database;filename;fold;age\nmorph;a.JPG;0;5\n")
    with pytest.raises(DataError, match="no names filename and age separated by tabs, commas or blanks: database;"):
        load(root, setting="mwr_c", lists=str(lists))
    file.write_text("database\tfilename\tfold\tage\nmorph\ta.JPG\t0\n")
    with pytest.raises(DataError, match=r"1 lines do not have the 4 cells of the first[\s\S]*line 2: morph"):
        load(root, setting="mwr_c", lists=str(lists))
    file.write_text(f"database\tfilename\tfold\tage\nmorph\t{NAMES[0]}\t0\tx\nmorph\t{NAMES[1]}\t0\t18\n")
    with pytest.raises(DataError, match=rf"1 ages are no numbers:\n  {NAMES[0]}: x"):
        load(root, setting="mwr_c", lists=str(lists))
    write_images(tmp_path / "m" / "copy", NAMES[:1])
    write_lists(lists, NAMES)
    with pytest.raises(DataError, match=r"2 images that the lists of mwr_c name are in more than one place"):
        load(root, setting="mwr_c", lists=str(lists))


def test_faults_of_the_csv(tmp_path: Path) -> None:
    root = tmp_path / "m"
    with pytest.raises(ConfigError, match=r"dataset.root=[\s\S]*morph_2008_nonCommercial.csv[\s\S]*ask UNCW"):
        load(root)
    write_csv(root, [morph_row(name) for name in NAMES])
    with pytest.raises(ConfigError, match=rf"dataset.root={root}"):  # one folder too high
        load(tmp_path)
    (root / "Album2" / NAMES[3]).unlink()
    with pytest.raises(DataError, match=rf"1 of 10 images[\s\S]*{NAMES[3]}"):
        load(root)
    write_csv(root, [morph_row("000007_0M16.JPG"), morph_row("000007_1M17.JPG"), morph_row("000007_2M78.JPG")])
    with pytest.raises(
        DataError, match=r"1 ages outside 16…77[\s\S]*000007_2M78.JPG: age 78[\s\S]*dataset.outside=leave_out"
    ):
        load(root)
    manifest = load(root, outside="leave_out")
    assert manifest.table["value"].tolist() == [16, 17]
    assert "left out 1 of 3" in manifest.notes[-1]
    rows = [
        morph_row("000007_0M16.JPG"),
        morph_row("000007_1M17.JPG"),
        morph_row("000007_2M18.JPG").replace("_2M18", "-2M18"),
    ]
    write_csv(root, rows)
    with pytest.raises(DataError, match=r"1 images whose names are not of the form[\s\S]*000007-2M18.JPG"):
        load(root)
    skipped = load(root, on_error="skip")
    assert len(skipped.table) == 2
    assert "000007-2M18.JPG" in skipped.notes[0]
    write_csv(root, ["x" for _ in range(2)], images=False).write_text("id_num,photo\n1,a.JPG\n")
    with pytest.raises(DataError, match="has no column dob and no doa and no race and no gender and no age"):
        load(root)
