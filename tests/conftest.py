"""Shared by all tests: a configuration composed as the command line would, with a small data set and tiny towers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.config.compose import composed

os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"  # nobody's, lest tracking=server writes to somebody's server
for _name in ("ORDINALCLIP_RUNS", "ORDINALCLIP_DATA", "ORDINALCLIP_CACHE"):  # the user's own folders are no test's
    os.environ.pop(_name, None)

SMALL = (
    "backbone=tiny",
    "dataset=gauge",
    "dataset.num_ranks=5",
    "dataset.images_per_rank=12",
    "dataset.size=32",
    "trainer=cpu",
    "tracking=offline",
    "epochs=3",
    "batch_size=16",
    "num_workers=0",
)

Compose = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where generated data sets and caches of this session lie."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def compose_cfg(tmp_path: Path, shared_data: Path) -> Compose:
    """`compose_cfg("prompt=rank", small=False)` → the configuration as plain dicts, its runs below tmp_path."""

    def build(*overrides: str, small: bool = True) -> dict[str, Any]:
        paths = [
            f"paths.runs={tmp_path / 'runs'}",
            f"paths.data={shared_data / 'data'}",
            f"paths.cache={shared_data / 'cache'}",
        ]
        return composed([*(SMALL if small else ()), *paths, *overrides])

    return build
