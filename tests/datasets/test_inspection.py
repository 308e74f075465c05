import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ordinalclip.config.compose import conf_dir
from ordinalclip.datasets.__main__ import main
from ordinalclip.datasets.inspection import (
    MAX_SHEET_RANKS,
    check_dataset,
    duplicates,
    findings,
    list_datasets,
    rank_sheet,
    show_dataset,
)
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made import make_manifest, write_image
from tests.datasets.made_ages import make_names
from tests.datasets.made_sets import make_eyepacs, make_folder

EYES = {f"{patient}_{side}": patient % 5 for patient in range(30) for side in ("left", "right")}


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return [f"paths.data={tmp_path / 'data'}", f"paths.cache={tmp_path / 'cache'}"]


def test_list_has_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_datasets([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml"))
    assert all(len(line.split()) > 3 for line in lines)
    with pytest.raises(ConfigError):
        list_datasets(["dataset=hci"])


def test_check_tells_counts_subjects_and_terms(
    tmp_path: Path, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_eyepacs(tmp_path / "data" / "eyepacs", EYES)
    assert check_dataset(["dataset=eyepacs", *paths]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert out.startswith("eyepacs: 60 images, 5 ranks\n")
    assert [int(word) for word in lines["all"][1:]] == [40, 10, 10]
    assert "duplicates  none to the byte" in out
    assert "subjects    30, of which 0 in more than one split (0.0% of the test images)" in out
    assert "licence     terms of the competition" in out
    assert "citation    EyePACS and Kaggle" in out
    assert len(lines["hash"][1]) == 64


def test_check_goes_on_behind_broken_images_and_tells_them(
    tmp_path: Path, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path / "set", lambda rank, index: f"{rank}/{index}.png", ("1", "2"), 10)
    (tmp_path / "set/1/3.png").write_bytes(b"no image")
    words = ["dataset=folder", f"dataset.root={tmp_path / 'set'}", *paths]
    assert check_dataset(words) == 1
    out = capsys.readouterr().out
    assert "skipped 1 of 20 images that cannot be used" in out
    assert "1/3.png: not an image that Pillow can read" in out
    assert "training stops at what cannot be used" in out
    assert check_dataset([*words, "dataset.on_error=skip"]) == 0


def test_a_split_without_images_is_an_error_behind_the_counts(
    tmp_path: Path, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path / "set", lambda rank, index: f"train/{rank}/{index}.png", ("1", "2"), 4)
    with pytest.raises(DataError, match="no image in the split val and test"):
        check_dataset(["dataset=folder", f"dataset.root={tmp_path / 'set'}", *paths])
    assert capsys.readouterr().out.split()[-4:] == ["all", "8", "0", "0"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["dataset=folder", "prompt=rank"], "does not concern the data"),
        (["dataset"], "needs a value"),
        (["dataset=folder"], "needs the folder of your images"),
        (["dataset=folder", "dataset.on_error=never"], "on_error"),
    ],
)
def test_what_was_typed_wrong(words: list[str], told: str, paths: list[str]) -> None:
    with pytest.raises(ConfigError, match=told):
        check_dataset([*words, *paths])


def test_duplicates_and_leakage_are_counted() -> None:
    splits = ["train", "train", "test", "val", "test", "train"]
    made = make_manifest([0, 0, 1, 0, 1, 1], split=splits, subject=["a", "b", "b", "c", "d", None])
    made.table["sha256"] = ["x", "y", "x", "z", "z", "w"]
    assert duplicates(made) == [
        "4 images are copies of 2, equal to the byte",
        "2 have copies under different ranks: 0.png = 2.png; 3.png = 4.png",
        "2 have copies in different splits: 0.png = 2.png; 3.png = 4.png",
    ]
    lines = findings(made)
    assert "subjects    4, of which 1 in more than one split (50.0% of the test images)" in lines
    assert "groups      not known" in lines


@pytest.mark.slow
def test_a_sheet_has_a_row_a_rank(tmp_path: Path, paths: list[str]) -> None:
    root = tmp_path / "set"
    for rank, colour in enumerate(("red", "lime", "blue")):
        for index in range(6):
            file = write_image(root / str(rank) / f"{index}.png", rank * 10 + index)
            Image.new("RGB", (30 + index, 20), colour).save(file)
    out = tmp_path / "sheet.png"
    words = ["dataset=folder", f"dataset.root={root}", *paths]
    assert show_dataset([*words, f"out={out}", "per_rank=4", "size=40"]) == 0
    pixels = np.asarray(Image.open(out).convert("RGB"))
    assert pixels.shape[0] == 3 * 44 + 4
    for row, colour in enumerate(([255, 0, 0], [0, 255, 0], [0, 0, 255])):
        line = pixels[4 + row * 44 + 20]
        assert (line[-44 * 4 + 20 :: 44] == colour).all()
    for wrong in ("size=0", "per_rank=x", "out=sheet.gif", f"out={tmp_path / 'no' / 'sheet.png'}"):
        with pytest.raises(ConfigError) as caught:
            show_dataset([*words, wrong])
        assert caught.value.key == wrong.partition("=")[0]


def test_many_ranks_are_spread_over_the_scale(tmp_path: Path) -> None:
    made = make_manifest(range(100))
    for path in made.table["path"]:
        write_image(tmp_path / path, size=2)
    sheet = rank_sheet(type(made)(**{**made.__dict__, "root": tmp_path}), per_rank=1, size=16)
    assert sheet.height == MAX_SHEET_RANKS * 20 + 4


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`python -m ordinalclip.datasets WORDS`, which says at its end whether torch was imported."""
    driver = (
        "import atexit, runpy, sys; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr));"
        "runpy.run_module('ordinalclip.datasets', run_name='__main__', alter_sys=True)"
    )
    return subprocess.run(
        [sys.executable, "-c", driver, *words], cwd=folder, capture_output=True, text=True, encoding="utf-8"
    )


def test_usage_and_words_that_are_unknown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    usages = []
    for words in ([], ["--help"]):
        monkeypatch.setattr(sys, "argv", ["datasets", *words])
        main()
        usages.append(capsys.readouterr().out)
    assert usages[0] == usages[1]
    assert "check" in usages[0]
    for words, answer in ((["inspect"], "allowed: check, list, show"), (["check", "dataset=hcii"], "did you mean hci")):
        monkeypatch.setattr(sys, "argv", ["datasets", *words])
        with pytest.raises(SystemExit, match="2"):
            main()
        assert answer in capsys.readouterr().err


@pytest.mark.slow
def test_the_command(tmp_path: Path, paths: list[str]) -> None:
    """Slow: two processes import the command line and Hydra."""
    wrong = run(tmp_path, "check", "dataset=hci", f"dataset.root={tmp_path}", *paths)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(f"error: dataset.root={tmp_path}: {tmp_path} is not HCI")
    right = run(tmp_path, "check", "dataset=digits", *paths)
    assert right.returncode == 0, right.stderr
    assert "digits: 1,797 images, 10 ranks" in right.stdout
    for done in (wrong, right):
        assert done.stderr.endswith("False\n")  # no torch
        assert "Traceback" not in done.stderr


def test_folders_and_ranks_called_by_numbers_are_typed_as_they_are(
    tmp_path: Path, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path / "set", lambda rank, index: f"{rank}/{index}.png", ("1.5", "2", "10"), 10)
    words = ["dataset=folder", f"dataset.root={tmp_path / 'set'}", *paths]
    assert check_dataset([*words, "dataset.order=[10,1.5,2]", "dataset.rank_names=[3,2,one]"]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[2:5]]
    assert rows == [["0", "3", "10"], ["1", "2", "1.5"], ["2", "one", "2"]]
    with pytest.raises(ConfigError, match="10 is a folder with images and is missing"):
        check_dataset([*words, "dataset.order=[1.5,2]"])


@pytest.mark.slow
def test_check_fails_where_training_would_stop_at_names_or_labels(
    tmp_path: Path, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_names(tmp_path / "data")
    images = tmp_path / "data" / "FGNET" / "images"
    words = ["dataset=fgnet", *paths]
    assert check_dataset(words) == 0
    write_image(images / "face7.jpg")
    assert check_dataset(words) == 1
    assert "left out 1 of 61: images whose names are not of the form" in capsys.readouterr().out
    assert check_dataset([*words, "dataset.on_error=skip"]) == 0
    # A subset of ages is meant, and stops nothing.
    assert check_dataset([*words, "dataset.on_error=skip", "dataset.last_age=13", "dataset.outside=leave_out"]) == 0
    (images / "face7.jpg").unlink()
    assert check_dataset([*words, "dataset.last_age=13", "dataset.outside=leave_out"]) == 0
    with pytest.raises(DataError, match=r"last_age, or go on without them: dataset\.outside=leave_out$"):
        check_dataset([*words, "dataset.last_age=13"])
