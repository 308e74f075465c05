"""CACD2000, CLAP, APPA-REAL, IMDB-WIKI and IMDB-CLEAN: sets whose labels stand in tables and .mat files."""

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from ordinalclip.datasets.layouts.appa_real import load_appa_real
from ordinalclip.datasets.layouts.cacd import load_cacd
from ordinalclip.datasets.layouts.clap import load_clap2015, load_clap2016
from ordinalclip.datasets.layouts.imdb import ages_in_july, load_imdb_clean, load_imdb_wiki
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.published_labels import read_struct
from ordinalclip.errors import ConfigError, DataError
from tests.datasets import made_tables as made

FRED = 693726  # MATLAB's number of 10 May 1899, as published for Fred Astaire


def load(loader: Callable[..., Manifest], root: Path, **options: object) -> Manifest:
    return loader(root=str(root), obtain="see its page", data_dir=root, cache_dir=root.parent / "cache", **options)


def rows(manifest: Manifest, *columns: str) -> list[list[object]]:
    return manifest.table[list(columns)].to_numpy().tolist()


CELEBRITIES = [
    ("53_Robin_Williams_0001.jpg", 53, 1, 2004, 1),
    ("30_Val_Too_0002.jpg", 30, 2, 2005, 2),
    ("14_Test_First_0001.jpg", 14, 3, 2006, 3),
    ("62_Test_Last_0001.jpg", 62, 4, 2013, 5),
    ("20_Train_Er_0001.jpg", 20, 700, 2004, 6),
]


def test_cacd(tmp_path: Path) -> None:
    made.write_cacd(tmp_path / "c", CELEBRITIES)
    manifest = load(load_cacd, tmp_path / "c")
    assert rows(manifest, "path", "rank", "subject", "split", "year", "popularity") == [
        ["CACD2000/53_Robin_Williams_0001.jpg", 39, "1", "val", 2004, 1],
        ["CACD2000/30_Val_Too_0002.jpg", 16, "2", "val", 2005, 2],
        ["CACD2000/14_Test_First_0001.jpg", 0, "3", "test", 2006, 3],
        ["CACD2000/62_Test_Last_0001.jpg", 48, "4", "test", 2013, 5],
        ["CACD2000/20_Train_Er_0001.jpg", 6, "700", "train", 2004, 6],
    ]
    assert manifest.num_ranks == 49
    assert load(load_cacd, tmp_path / "c", split="none").table["split"].isna().all()
    (tmp_path / "c" / "CACD2000" / "30_Val_Too_0002.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 5 images that celebrity2000_meta.mat names[\s\S]*30_Val_Too_0002.jpg"):
        load(load_cacd, tmp_path / "c")
    manifest = load(load_cacd, tmp_path / "c", on_error="skip")
    assert len(manifest.table) == 4
    assert "30_Val_Too_0002.jpg" in manifest.notes[0]


def test_faults_of_mat_files(tmp_path: Path) -> None:
    file = tmp_path / "x.mat"
    file.write_bytes(b"no matlab file" * 20)
    with pytest.raises(DataError, match="cannot be read as a MATLAB file"):
        read_struct(file, "imdb", ["dob"])
    savemat(file, {"wiki": {"dob": np.arange(3)}, "other": np.arange(3)})
    with pytest.raises(DataError, match="holds no struct imdb; it holds wiki, other"):
        read_struct(file, "imdb", ["dob"])
    with pytest.raises(DataError, match="holds no struct other"):
        read_struct(file, "other", ["dob"])
    with pytest.raises(DataError, match="wiki has no column age; it has dob"):
        read_struct(file, "wiki", ["dob", "age"])
    savemat(file, {"wiki": {"dob": np.arange(3), "age": np.arange(2)}})
    with pytest.raises(DataError, match="not of one length: dob 3, age 2"):
        read_struct(file, "wiki", ["dob", "age"])
    made.write_cacd(tmp_path / "c", CELEBRITIES)
    (tmp_path / "c" / "celebrity2000_meta.mat").unlink()
    with pytest.raises(DataError, match=r"half of CACD2000; there is no celebrity2000_meta.mat[\s\S]*see its page"):
        load(load_cacd, tmp_path / "c")


def test_ages_in_july_are_those_of_the_calendar() -> None:
    dates = [
        datetime.date(1899, 5, 10),
        datetime.date(1960, 7, 1),
        datetime.date(1960, 7, 2),
        datetime.date(2000, 2, 29),
        datetime.date(1981, 12, 31),
    ]
    numbers = pd.Series([date.toordinal() + 366.0 for date in dates])
    assert numbers[0] == FRED
    years = pd.Series([1968.0, 2000, 2000, 2013, 1981])
    expected = [69, 40, 39, 13, -1]
    slow = [int(year) - date.year - ((date.month, date.day) > (7, 1)) for date, year in zip(dates, years, strict=True)]
    assert slow == expected
    assert ages_in_july(numbers, years).tolist() == expected
    assert ages_in_july(pd.Series([0.0, 366.0]), pd.Series([2000.0, 2000.0])).isna().all()


def test_imdb_wiki(tmp_path: Path) -> None:
    nan, inf = np.nan, np.inf
    made.write_imdb(
        tmp_path / "i",
        [
            ("01/nm0000001_rm124825600_1899-5-10_1968.jpg", FRED, 1968, 1.0, 1.46, nan, "Fred Astaire"),
            ("01/nm0000001_rm2_1899-5-10_1970.jpg", FRED, 1970, 1.0, 2.0, nan, "Fred Astaire"),
            ("02/nm2_rm3.jpg", FRED, 1920, nan, 3.0, nan, ""),
            ("02/nm2_rm4.jpg", FRED, 1920, 0.0, -inf, nan, "No Face"),
            ("02/nm2_rm5.jpg", FRED, 1920, 0.0, 0.5, nan, "Faint Face"),
            ("02/nm2_rm6.jpg", FRED, 1920, 0.0, 3.0, 2.5, "Two Faces"),
            ("02/nm2_rm7.jpg", FRED, 1890, 0.0, 3.0, nan, "Not Born"),
            ("02/nm2_rm8.jpg", 47, 1990, 0.0, 3.0, nan, "No Date"),
        ],
    )
    manifest = load(load_imdb_wiki, tmp_path / "i", outside="leave_out")
    assert rows(manifest, "path", "value", "sex") == [
        ["01/nm0000001_rm124825600_1899-5-10_1968.jpg", 69, "male"],
        ["01/nm0000001_rm2_1899-5-10_1970.jpg", 71, "male"],
        ["02/nm2_rm3.jpg", 21, manifest.table["sex"][2]],
    ]
    assert pd.isna(manifest.table["sex"][2])
    assert manifest.table["subject"].tolist()[:2] == ["Fred Astaire"] * 2
    assert pd.isna(manifest.table["subject"][2])
    assert "is for pre-training" in manifest.notes[0]
    assert manifest.notes[1] == (
        "left out 2 of 8 photos in which no face was found with a score of 1, and 1 with a second face"
    )
    left_out = "left out 2 of 5: ages outside 0…100 (dataset.outside=leave_out):"
    assert manifest.notes[2] == f"{left_out}\n  02/nm2_rm7.jpg: age -9\n  02/nm2_rm8.jpg: age nan"
    with pytest.raises(DataError, match="2 ages outside"):
        load(load_imdb_wiki, tmp_path / "i", outside="raise")
    with pytest.raises(DataError, match=r"there is no wiki.mat"):
        load(load_imdb_wiki, tmp_path / "i", part="wiki")


CLEAN = {
    "train": [("01/nm0000001_rm1_1899-5-10_1968.jpg", 69, "M"), ("01/nm0000002_rm1_x.jpg", 20, "F")],
    "valid": [("01/nm0000002_rm2_x.jpg", 21, "F")],
    "test": [("02/nm0000003_rm1_x.jpg", 0, "U")],
}


def test_imdb_clean(tmp_path: Path) -> None:
    made.write_imdb_clean(tmp_path / "i", CLEAN)
    manifest = load(load_imdb_clean, tmp_path / "i")
    assert rows(manifest, "path", "rank", "subject", "split", "x_min", "y_max") == [
        ["data/imdb-clean-1024/01/nm0000001_rm1_1899-5-10_1968.jpg", 69, "0000001", "train", 10, 21],
        ["data/imdb-clean-1024/01/nm0000002_rm1_x.jpg", 20, "0000002", "train", 10, 21],
        ["data/imdb-clean-1024/01/nm0000002_rm2_x.jpg", 21, "0000002", "val", 10, 21],
        ["data/imdb-clean-1024/02/nm0000003_rm1_x.jpg", 0, "0000003", "test", 10, 21],
    ]
    assert manifest.table["sex"].tolist()[:2] == ["male", "female"]
    assert "is for pre-training" in manifest.notes[0]
    with pytest.raises(DataError, match=r"half of IMDB-CLEAN; there is no data/imdb/"):
        load(load_imdb_clean, tmp_path / "i", images="data/imdb")
    file = tmp_path / "i" / "csvs" / "imdb_valid_new_1024.csv"
    file.write_text(file.read_text().replace(",21,F", ",x,F"))
    with pytest.raises(DataError, match=r"imdb_valid_new_1024.csv: 1 cells are no numbers:\n  row 2: age x"):
        load(load_imdb_clean, tmp_path / "i")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_clap2015(tmp_path: Path, end: str) -> None:
    lines = ["image_1.jpg,3,0.5,train", "image_1.jpg,85,4.25,val", "image_9.JPG,32,4.812175,test"]
    made.write_clap2015(tmp_path / "c", lines, end)
    manifest = load(load_clap2015, tmp_path / "c")
    assert rows(manifest, "path", "rank", "deviation", "split", "raw") == [
        ["2015/train/image_1.jpg", 0, 0.5, "train", "3"],
        ["2015/val/image_1.jpg", 82, 4.25, "val", "85"],
        ["2015/test/image_9.JPG", 29, 4.812175, "test", "32"],
    ]
    made.write_clap2015(tmp_path / "c", [*lines, "image_2.jpg,30,1.0,extra"], end)
    with pytest.raises(DataError, match=r"1 rows are of none of the parts[\s\S]*image_2.jpg: database extra"):
        load(load_clap2015, tmp_path / "c")
    assert len(load(load_clap2015, tmp_path / "c", on_error="skip").table) == 3
    with pytest.raises(ConfigError, match=r"dataset.root=.*CLAP 2015"):
        load(load_clap2015, tmp_path / "c", table="total_2015.xlsx")


def test_clap2016(tmp_path: Path) -> None:
    made.write_clap2016(
        tmp_path / "c",
        {
            "train": [("000000.jpg", 4.4, 1.5), ("000001.jpg", 4.5, 0.0)],
            "valid": [("000000.jpg", 20.49, 2.5)],
            "test": [("000000.jpg", 99.5, 7.0)],
        },
    )
    manifest = load(load_clap2016, tmp_path / "c")
    assert rows(manifest, "path", "value", "rank", "deviation", "split") == [
        ["train/000000.jpg", 4.4, 4, 1.5, "train"],
        ["train/000001.jpg", 4.5, 5, 0.0, "train"],  # a half goes up
        ["valid/000000.jpg", 20.49, 20, 2.5, "val"],
        ["test/000000.jpg", 99.5, 100, 7.0, "test"],
    ]
    file = tmp_path / "c" / "valid_gt.csv"
    file.write_text("image,mean,stdv\n../train/000000.jpg,4,1\n")
    with pytest.raises(DataError, match=r"1 paths go up through \.\.:\n  valid/\.\./train/000000.jpg"):
        load(load_clap2016, tmp_path / "c")
    file.unlink()
    with pytest.raises(DataError, match=r"half of CLAP 2016; there is no valid_gt.csv"):
        load(load_clap2016, tmp_path / "c")


def test_appa_real(tmp_path: Path) -> None:
    made.write_appa_real(
        tmp_path / "a",
        {
            "train": [("000000.jpg", 36, 5.0833333, 1.0, 4), ("000001.jpg", 37, 72.4, 4.0, 72)],
            "valid": [("000000.jpg", 38, 23.65, 3.1, 26)],
            "test": [("000000.jpg", 40, 41.2, 2.2, 39)],
        },
    )
    manifest = load(load_appa_real, tmp_path / "a")
    assert rows(manifest, "path", "value", "rank", "deviation", "split", "real_age", "num_ratings") == [
        ["train/000000.jpg_face.jpg", 5.0833333, 5, 1.0, "train", 4, 36],
        ["train/000001.jpg_face.jpg", 72.4, 72, 4.0, "train", 72, 37],
        ["valid/000000.jpg_face.jpg", 23.65, 24, 3.1, "val", 26, 38],
        ["test/000000.jpg_face.jpg", 41.2, 41, 2.2, "test", 39, 40],
    ]
    real = load(load_appa_real, tmp_path / "a", age="real", images="whole")
    assert rows(real, "path", "rank", "apparent_age") == [
        ["train/000000.jpg", 4, 5.0833333],
        ["train/000001.jpg", 72, 72.4],
        ["valid/000000.jpg", 26, 23.65],
        ["test/000000.jpg", 39, 41.2],
    ]
    assert "deviation" not in real.table or real.table["deviation"].isna().all()
