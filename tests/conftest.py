"""Shared by all tests: a configuration composed as the command line would, with a small data set and tiny towers."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.config.compose import compose_config

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
        folders = {"runs": tmp_path / "runs", "data": shared_data / "data", "cache": shared_data / "cache"}
        return composed_with(folders, *(SMALL if small else ()), *overrides)

    return build


def composed_with(folders: Mapping[str, Path], *overrides: str) -> dict[str, Any]:
    """`compose_config` with these paths; composed once for all tests, since that takes 0.1 s."""
    return _placed(_composed(*(f"paths.{name}={_FOLDERS}/{name}" for name in folders), *overrides), folders)


_FOLDERS = "/folders-of-a-test"


@functools.cache
def _composed(*overrides: str) -> dict[str, Any]:
    return compose_config(overrides)


def _placed(node: Any, folders: Mapping[str, Path]) -> Any:
    """A copy with the folders of one test."""
    if isinstance(node, dict):
        return {key: _placed(value, folders) for key, value in node.items()}
    if isinstance(node, list):
        return [_placed(value, folders) for value in node]
    if isinstance(node, str) and _FOLDERS in node:
        for name, folder in folders.items():
            node = node.replace(f"{_FOLDERS}/{name}", str(folder))
    return node
