"""Stores and runs to mirror."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.runs.run import Run
from ordinalclip.tracking import RUN_ID_TAG
from ordinalclip.tracking.store import Store, make_store
from tests.tracking.made import begin_run, log_epoch

Shown = Callable[[Run], Any]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store without runs; making one takes seconds."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    make_store(file)
    return file


@pytest.fixture
def root(tmp_path: Path, empty_store: Path) -> Path:
    """A folder of runs with an empty store in it."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def run(root: Path) -> Iterator[Run]:
    """A running run after three epochs."""
    made = begin_run(root)
    for epoch in range(3):
        log_epoch(made, epoch)
    yield made
    made.release("finished")


@pytest.fixture
def store(root: Path) -> Store:
    """The store in the folder."""
    return Store(f"sqlite:///{root / 'mlflow.db'}", "ordinalclip")


@pytest.fixture
def shown(store: Store) -> Shown:
    """`shown(run)` → the one MLflow run that shows it."""

    def find(run: Run) -> Any:
        client, experiment = store.open()
        (found,) = client.search_runs([experiment], f"tags.`{RUN_ID_TAG}` = '{run.run_id}'")
        return found

    return find
