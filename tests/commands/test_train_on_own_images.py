"""dataset=manifest: a user's own images, from the table to the record of the run."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ordinalclip.errors import DataError
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import Job, prepare
from tests.conftest import Compose

JOB = ("backbone=tiny", "dataset=manifest", "trainer=cpu", "tracking=offline", "epochs=1", "num_workers=0")


def images(folder: Path, num: int) -> list[str]:
    """Files whose brightness grows with their number, under names as people give them."""
    (folder / "mein Ordner").mkdir(parents=True, exist_ok=True)
    names = [f"mein Ordner/größe {index:02d}.png" for index in range(num)]
    noise = np.random.default_rng(0)
    for index, name in enumerate(names):
        pixels = noise.integers(0, 40, (12, 10, 3)) + 200 * index // num
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return names


def table(folder: Path, **columns: Sequence[object]) -> Path:
    """A csv of 60 images with these columns."""
    pd.DataFrame({"path": images(folder, 60), **columns}).to_csv(folder / "my own.csv", index=False)
    return folder / "my own.csv"


def trained(compose_cfg: Compose, *overrides: str) -> Job:
    job = prepare(compose_cfg(*JOB, *overrides, small=False))
    run_job(job, in_sweep=True)
    assert job.run.state() == "finished"
    return job


GRADES = [1 + index // 12 for index in range(60)]


@pytest.mark.slow
def test_grades_from_one_to_five_just_work(
    compose_cfg: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ordinalclip")
    file = table(tmp_path / "bilder", rank=GRADES)
    job = trained(compose_cfg, f"dataset.path='{file}'")
    note = "ranks 1…5 of my own.csv were shifted to 0…4"
    assert note in caplog.messages
    assert note in job.run.read_json("provenance.json")["notes"]
    assert job.manifest.rank_names == ("1", "2", "3", "4", "5")

    # The split that was made lies beside the run, and trains again to the same result.
    made = job.run.directory / "manifest.csv"
    rows = pd.read_csv(made)
    assert set(rows["split"]) == {"train", "val", "test"}
    assert set(rows["path"]) == {f"mein Ordner/größe {index:02d}.png" for index in range(60)}
    cfg = compose_cfg(*JOB, f"dataset.path={made}", f"dataset.root='{file.parent}'", "protocol=given", small=False)
    again = prepare(cfg)
    assert again.manifest.content_hash == job.manifest.content_hash
    assert again.run.run_id == job.run.run_id
    assert again.run.state() == "finished"


@pytest.mark.slow
def test_values_subjects_and_a_split_of_ones_own(compose_cfg: Compose, tmp_path: Path) -> None:
    subjects = [f"pat {index % 20}" for index in range(60)]
    file = table(tmp_path / "a", value=[20 + index // 12 for index in range(60)], subject=subjects)
    job = trained(compose_cfg, f"dataset.path='{file}'", "dataset.unit=years")
    assert job.manifest.rank_values == (20.0, 21.0, 22.0, 23.0, 24.0)
    assert job.manifest.table.groupby("subject")["split"].nunique().max() == 1

    words = ["Train", "train", "validation", "test"]
    file = table(tmp_path / "b", rank=GRADES, split=[words[index % 4] for index in range(60)])
    job = trained(compose_cfg, f"dataset.path='{file}'")
    assert job.manifest.table["split"].value_counts().to_dict() == {"train": 30, "val": 15, "test": 15}
    assert job.run.read_json("test_stats.json")["test/num_images"] == 15


@pytest.mark.slow
def test_broken_images_are_one_error_or_one_note(compose_cfg: Compose, tmp_path: Path) -> None:
    file = table(tmp_path, rank=GRADES)
    broken = {"mein Ordner/größe 03.png": "0 bytes", "mein Ordner/größe 20.png": "not an image"}
    (tmp_path / next(iter(broken))).write_bytes(b"")
    (tmp_path / list(broken)[1]).write_text("no picture")
    (tmp_path / "mein Ordner/größe 41.png").unlink()
    told = broken | {"mein Ordner/größe 41.png": "not found"}
    with pytest.raises(DataError) as caught:
        prepare(compose_cfg(*JOB, f"dataset.path='{file}'", small=False))
    assert "3 of 60 images" in str(caught.value)
    for name, problem in told.items():
        assert any(name in line and problem in line for line in str(caught.value).splitlines())
    assert not (tmp_path / "runs").exists()

    job = trained(compose_cfg, f"dataset.path='{file}'", "dataset.on_error=skip")
    assert len(job.manifest.table) == 57
    (skipped,) = [note for note in job.run.read_json("provenance.json")["notes"] if note.startswith("skipped")]
    for name in told:
        assert name in skipped
