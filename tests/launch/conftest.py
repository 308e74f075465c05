"""A queue that only keeps books, and a folder to type commands in."""

from pathlib import Path

import pytest

from tests.launch.fake_slurm import FakeSlurm

SMALL = (
    "backbone=tiny",
    "dataset=gauge",
    "dataset.num_ranks=5",
    "dataset.images_per_rank=12",
    "dataset.size=32",
    "trainer=cpu",
    "epochs=2",
    "num_workers=0",
)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    (tmp_path / "bin").mkdir()
    return FakeSlurm(tmp_path / "bin", monkeypatch)


@pytest.fixture
def small(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words of a small run, its runs below tmp_path, where the test is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return [*SMALL, f"paths.data={shared_data / 'data'}", f"paths.cache={shared_data / 'cache'}"]
