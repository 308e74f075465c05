import contextlib
import sqlite3
from pathlib import Path

import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.tracking.store import Store, check_uri, make_store


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("runs/mlruns", "is no address of a store"),
        ("file:///tmp/mlruns", "is no address of a store"),
        ("http://me:secret@server:5000", "holds a password"),
    ],
)
def test_addresses_that_cannot_be_used(uri: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        check_uri(uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["sqlite:///runs/mlflow.db", "http://127.0.0.1:5000", "https://me@server/mlflow"])
def test_addresses_that_can(uri: str) -> None:
    check_uri(uri)


@pytest.mark.slow
def test_readers_and_the_writer_do_not_wait_for_each_other(empty_store: Path) -> None:
    with contextlib.closing(sqlite3.connect(empty_store)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.slow
def test_a_process_that_was_killed_making_a_store_leaves_nothing_that_harms(tmp_path: Path) -> None:
    (tmp_path / ".mlflow.db.draft").write_bytes(b"half of a store")
    make_store(tmp_path / "mlflow.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mlflow.db.lock", "mlflow.db"]
    _, experiment = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", "ordinalclip").open()
    assert experiment == "1"


@pytest.mark.slow
def test_a_store_of_an_older_mlflow_is_brought_up_to_date(tmp_path: Path) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    config = _get_alembic_config(uri)
    head = ScriptDirectory.from_config(config).get_revision("head")
    engine = create_engine(uri)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, str(head.down_revision))
    engine.dispose()
    _, experiment = Store(uri, "ordinalclip").open()
    assert experiment == "1"
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == (head.revision,)


@pytest.mark.slow
def test_an_experiment_that_was_deleted_is_restored(root: Path) -> None:
    uri = f"sqlite:///{root / 'mlflow.db'}"
    client, experiment = Store(uri, "ordinalclip").open()
    client.delete_experiment(experiment)
    assert Store(uri, "ordinalclip").open()[1] == experiment


@pytest.mark.slow
def test_connections_wait_less_for_the_disk_once_a_store_is_open(root: Path) -> None:
    uri = f"sqlite:///{root / 'mlflow.db'}"
    client, _ = Store(uri, "ordinalclip").open()
    Store(uri, "another").open()  # eased once, however often it is opened
    engine = client._tracking_client.store.engine
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "cache_size")]
    assert found == [1, -65536]  # 1 is NORMAL
