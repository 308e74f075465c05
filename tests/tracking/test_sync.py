import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from analysis.sync import sync
from launch.stores import copy_finished
from ordinalclip.errors import Busy, ConfigError
from ordinalclip.preparation.prepare import Job
from ordinalclip.runs.run import Run
from ordinalclip.system.files import file_lock
from ordinalclip.tracking import RUN_ID_TAG
from ordinalclip.tracking import sync as syncing
from ordinalclip.tracking.copying import copy_run
from ordinalclip.tracking.store import Store
from ordinalclip.tracking.sync import copy_all
from tests import warm
from tests.tracking.made import begin_run, end_run, log_epoch
from tests.tracking.proxy import Proxy

_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.tracking.made import begin_run, log_epoch
log_epoch(begin_run(Path(sys.argv[1]), 7), 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def words(root: Path) -> list[str]:
    return [f"runs={root}"]


def ended(root: Path, number: int) -> Run:
    run = begin_run(root, number)
    end_run(run)
    run.release("finished")
    return run


def shown(root: Path) -> dict[str, tuple[str, float | None]]:
    """Run id → status and test/mae."""
    client, experiment = Store(f"sqlite:///{root / 'mlflow.db'}", "ordinalclip").open()
    found = client.search_runs([experiment])
    return {one.data.tags[RUN_ID_TAG]: (one.info.status, one.data.metrics.get("test/mae")) for one in found}


@pytest.mark.slow
def test_it_copies_what_is_missing_and_no_more(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        ended(root, number)
    assert sync(words(root)) == 3
    assert shown(root) == {f"{number:010d}": ("FINISHED", 0.25) for number in range(3)}
    assert sync(words(root)) == 0
    assert "3 runs: 0 copied, 3 there already" in capsys.readouterr().out
    ended(root, 3)
    assert sync(words(root)) == 1
    for file in root.glob("mlflow.db*"):  # the store is deleted: made anew, whole
        file.unlink()
    assert sync(words(root)) == 4
    assert len(shown(root)) == 4


@pytest.mark.slow
def test_two_folders_with_the_same_run_share_a_store_and_a_moved_one_goes_on(root: Path) -> None:
    def made(folder: str, created: str) -> Run:
        run = begin_run(root / folder, 1)
        run.set_status("running", created=created)
        end_run(run)
        run.release("finished")
        return run

    def all_shown() -> list[tuple[str, bool]]:
        client, experiment = store.open()
        found = [one.data.tags for one in client.search_runs([experiment])]
        return sorted((tags["directory"], RUN_ID_TAG in tags) for tags in found)

    store = Store(f"sqlite:///{root / 'mlflow.db'}", "ordinalclip")
    mine, yours = made("mine", "2026-01-01T10:00:00+0000"), made("yours", "2026-01-01T11:00:00+0000")
    assert [copy_all(store, [run]) for run in (mine, yours) * 2] == [(1, 0), (1, 0), (0, 0), (0, 0)]
    assert all_shown() == [(str(mine.directory), True), (str(yours.directory), True)]
    theirs = made("theirs", "2026-01-01T10:00:00+0000")  # at the same second as mine
    assert [copy_all(store, [run]) for run in (theirs, mine) * 2] == [(1, 0), *[(0, 0)] * 3]
    (root / "link").symlink_to(root / "theirs")
    assert copy_all(store, [Run(root / "link" / theirs.directory.name)]) == (1, 0)  # by another way: the same
    assert len(all_shown()) == 3
    client, experiment = store.open()
    for one in client.search_runs([experiment], "tags.directory LIKE '%link%'"):
        client.delete_run(one.info.run_id)
    (root / "mine").rename(root / "moved")
    moved = Run(root / "moved" / mine.directory.name)
    assert [copy_all(store, [run]) for run in (moved, yours) * 2] == [(1, 0), *[(0, 0)] * 3]
    assert all_shown() == [(str(moved.directory), True), (str(yours.directory), True)]
    assert moved.archive() is not None  # and made anew: what was shown of it gives its id up
    again = made("moved", "2026-01-01T12:00:00+0000")
    assert [copy_all(store, [run]) for run in (again, yours) * 2] == [(1, 0), *[(0, 0)] * 3]
    assert all_shown() == [(str(moved.directory), False), (str(moved.directory), True), (str(yours.directory), True)]


@pytest.mark.slow
def test_a_sync_that_was_ended_is_gone_on_with(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [ended(root, number) for number in range(3)]
    store = Store(f"sqlite:///{root / 'mlflow.db'}", "ordinalclip")
    copy_run = syncing.copy_run

    def two(store: Store, run: Run, *rest: object, **named: object) -> None:
        if run is runs[2]:
            raise KeyboardInterrupt
        copy_run(store, run, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(syncing, "copy_run", two)
    with pytest.raises(KeyboardInterrupt):
        copy_all(store, runs)
    monkeypatch.undo()
    assert copy_all(store, runs) == (1, 0)


@pytest.mark.slow
def test_a_run_that_its_own_mirror_has_shown_meanwhile_is_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, store = ended(root, 1), Store(f"sqlite:///{root / 'mlflow.db'}", "ordinalclip")
    listed = syncing._all_shown

    def overtaken(*arguments: Any) -> Any:
        found = listed(*arguments)
        copy_run(store, run)
        return found

    monkeypatch.setattr(syncing, "_all_shown", overtaken)
    assert copy_all(store, [run]) == (1, 0)
    client, experiment = store.open()
    assert len(client.search_runs([experiment])) == 1


@pytest.mark.slow
def test_a_run_whose_process_is_gone_was_killed(root: Path) -> None:
    alive = begin_run(root, 1)
    log_epoch(alive, 0)
    warm.run("-c", _KILLED, str(root))
    sync(words(root))
    assert shown(root) == {"0000000001": ("RUNNING", None), "0000000007": ("KILLED", None)}
    alive.set_status("finished")
    lost = alive.directory.rename(root.parent / "elsewhere")
    alive.lease = None
    sync(words(root))
    assert shown(root)["0000000001"] == ("KILLED", None)  # its directory is no more
    assert lost.exists()


@pytest.mark.slow
def test_what_ended_while_nobody_was_there_is_shown_by_the_next_command(
    root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin_run(root, 1)
    sync(words(root))
    assert shown(root) == {run.run_id: ("RUNNING", None)}
    end_run(run)
    run.release("finished")
    tracking = {"uri": f"sqlite:///{root / 'mlflow.db'}", "experiment": "ordinalclip"}
    jobs = [cast(Job, SimpleNamespace(run=run, cfg={"tracking": told})) for told in (tracking, {"_target_": "none"})]
    copy_finished(jobs)
    assert shown(root) == {run.run_id: ("FINISHED", 0.25)}
    assert caplog.text == ""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    copy_finished([cast(Job, SimpleNamespace(run=run, cfg={"tracking": tracking | {"uri": "http://127.0.0.1:9"}}))])
    assert "http://127.0.0.1:9: does not answer" in caplog.text


@pytest.mark.slow
def test_a_run_that_cannot_be_copied_is_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    ended(root, 1)
    broken = ended(root, 2)
    (broken.directory / "metrics.jsonl").write_text('{"no": "values"}\n')
    with pytest.raises(RuntimeError, match="1 of 2 runs"):
        sync(words(root))
    assert broken.directory.name in caplog.text
    assert "0000000001" in shown(root)


def test_one_at_a_time(tmp_path: Path) -> None:
    with file_lock(tmp_path, 0), pytest.raises(Busy, match="another process"):
        sync(words(tmp_path))


def test_a_server_that_asks_for_a_password_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    proxy = Proxy(0)
    proxy.mood = "closed"
    try:
        with pytest.raises(ConfigError, match="asks for a name and a password"):
            sync([*words(tmp_path), "tracking=server", f"tracking.uri={proxy.uri}"])
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (["tracking=offline"], "tracking"),
        (["seed=1"], "seed"),
        (["runs=nowhere"], "runs"),
        (["runs=.", "tracking=server", "tracking.uri=http://127.0.0.1:9"], "tracking.uri"),
        (["runs=.", "tracking=server", "tracking.uri=mlruns"], "tracking.uri"),
    ],
)
def test_what_cannot_be_used(typed: list[str], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        sync(typed)
    assert caught.value.key == key
    assert os.listdir(tmp_path) == []
