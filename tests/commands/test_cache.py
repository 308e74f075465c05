import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from ordinalclip.cache import main
from ordinalclip.system import caches as module
from ordinalclip.system.caches import list_stores, mark_used, space_problem, write_about

KB = 1000


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Three stores of 100 kB and what comes with them, used at 3, 1 and 2 seconds past 1970, and weights."""
    cache = tmp_path / "cache"
    for used, (place, name) in {
        3: ("images/a/0", "faces"),
        1: ("features/b/0", "cells"),
        2: ("features/b/1", ""),
    }.items():
        folder = cache / place
        (folder / "parts").mkdir(parents=True)
        (folder / "parts" / "0.bin").write_bytes(bytes(100 * KB))
        if name:
            write_about(folder, name=name, form="mini, fp32", number=7)
        for path in (folder / "parts" / "0.bin", folder / "about.json"):
            if path.exists():
                os.utime(path, (used, used))
    (cache / "clip").mkdir()
    (cache / "clip" / "weights.bin").write_bytes(bytes(400 * KB))
    return cache


def names(cache: Path) -> list[str]:
    return [f"{store.path.parent.name}{store.path.name}" for store in list_stores(cache)]


def test_stores_are_listed_with_what_they_are_oldest_first(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--cache", str(cache)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("features    0.000 GB  used 1970-01-01")
    assert lines[0].endswith("cells, mini, fp32, 7 images")
    assert lines[1].endswith("b, 1")  # nothing says what it is
    assert lines[2].startswith("images")
    assert "GB in" in lines[3]
    assert names(cache) == ["b0", "b1", "a0"]


def test_what_is_used_moves_to_the_end(cache: Path) -> None:
    mark_used(cache / "features/b/0")
    assert names(cache)[-1] == "b0"
    mark_used(cache / "features/b/7")  # gone meanwhile


@pytest.mark.parametrize(("to_gb", "left"), [(1, 3), (0.00031, 3), (0.00025, 2), (0.00012, 1), (0.0001, 0), (None, 0)])
def test_cleaning_removes_the_oldest_and_never_weights(cache: Path, to_gb: float | None, left: int) -> None:
    main(["--cache", str(cache), "--clean", *([] if to_gb is None else [f"--to-gb={to_gb}"])])
    assert names(cache) == ["b0", "b1", "a0"][3 - left :]
    assert (cache / "clip" / "weights.bin").stat().st_size == 400 * KB
    if left == 0:
        assert not list((cache / "features").iterdir())


def test_listing_removes_nothing_and_amounts_are_checked(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--to-gb=1"], ["--clean", "--to-gb=-1"], ["--clean", "--to-gb=much"]):
        with pytest.raises(SystemExit):
            main(["--cache", str(cache), *wrong])
    assert "--to-gb" in capsys.readouterr().err
    assert len(names(cache)) == 3
    main(["--cache", str(cache / "clip")])
    assert "neither images nor features" in capsys.readouterr().out


def test_the_room_for_more(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = sum(store.num_bytes for store in list_stores(cache))
    assert 300 * KB < held < 301 * KB  # weights are not counted
    assert space_problem(cache, 1000, (held + 1000) / 1e9) == ""
    text = space_problem(cache, 1001, (held + 1000) / 1e9)
    assert space_problem(tmp_path / "empty", 1000, 1e-7).endswith("hold 0 GB); raise it")
    for word in ("1e-06 GB more", "cache.limit_gb=0.0003", "hold 0.0003 GB", "make clean-cache"):
        assert word in text
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(0, 0, 2000))
    assert space_problem(cache, 1800, None) == ""
    assert "disk" in space_problem(cache, 1801, None)
    assert space_problem(tmp_path / "not" / "there" / "yet", 1800, 1) == ""


@pytest.mark.slow
def test_the_command_takes_the_configured_folder_and_no_torch(cache: Path) -> None:
    code = "import sys; from ordinalclip.cache import main; main([]); assert 'torch' not in sys.modules"
    env = os.environ | {"ORDINALCLIP_CACHE": str(cache)}
    told = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout
    assert told.count("features") == 2
