"""A real MLflow server with PostgreSQL behind it, and what it does to runs when it is away, slow or broken."""

import configparser
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.mlflow_server import check_port, processes_of, serve
from launch.postgres import find_programs
from ordinalclip.errors import ConfigError
from ordinalclip.runs.run import Run
from ordinalclip.tracking import RUN_ID_TAG, MLflowMirror
from ordinalclip.tracking.store import Store
from ordinalclip.tracking.sync import copy_all
from tests.tracking.made import begin_run, end_run, log_epoch
from tests.tracking.proxy import Proxy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Its port."""
    try:
        find_programs()
    except ConfigError as error:
        if "postgres" in os.environ.get("ORDINALCLIP_REQUIRE", "").split(","):
            raise
        pytest.skip(str(error).replace("\n", " "))
    port = free_port()
    # Below a folder that PostgreSQL's own user may enter, which pytest's is not.
    folder = Path("/tmp") / f"ordinalclip-server-{os.getpid()}"
    command = [sys.executable, "-m", "launch.mlflow_server", f"folder={folder}", f"port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    try:
        assert first == f"export MLFLOW_TRACKING_URI=http://127.0.0.1:{port}\n", process.communicate()
        group = _children(process.pid)
        assert len(group) == 2  # PostgreSQL and MLflow
        assert len(_in_sessions(group)) == 3, _in_sessions(group)  # and the one worker of MLflow's
        yield port
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)
        assert process.returncode == 0
        assert not [pid for pid in group if Path(f"/proc/{pid}").exists()]
    finally:
        process.terminate()  # killed, it would leave both behind
        process.communicate(timeout=300)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def proxy(server: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    made = Proxy(server)
    yield made
    made.close()


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def _in_sessions(leaders: list[int]) -> list[int]:
    """All processes in the sessions of these; each of PostgreSQL's own has one to itself."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) in leaders:
                found.append(int(place.name))
    return found


def mirror(proxy: Proxy, name: str) -> MLflowMirror:
    return MLflowMirror(uri=proxy.uri, experiment=name, every_s=0.1, patience_s=0.5)


def is_whole(proxy: Proxy, name: str, run: Run) -> bool:
    """Whether the store has what metrics.jsonl has, and how the run ended."""
    client, experiment = Store(proxy.uri, name).open()
    all_shown = client.search_runs([experiment], f"tags.`{RUN_ID_TAG}` = '{run.run_id}'")
    if len(all_shown) != 1:
        return False
    shown = all_shown[0]
    wanted: dict[tuple[str, int], tuple[float, int]] = {}
    found: dict[tuple[str, int], tuple[float, int]] = {}
    for line in run.metrics():
        for key, value in line["values"].items():
            wanted.setdefault((key, line["epoch"]), (value, line["time_ms"]))  # one was done twice
    for key in {key for key, _ in wanted}:
        for point in client.get_metric_history(shown.info.run_id, key):
            found[key, point.step] = (point.value, point.timestamp)
    files = {file.path for file in client.list_artifacts(shown.info.run_id)}
    return found == wanted and shown.info.status == "FINISHED" and {"config.yaml", "test_stats.json"} <= files


@pytest.mark.slow
@pytest.mark.parametrize("mood", ["away", "slow", "broken"])
def test_runs_end_whatever_the_server_does_and_nothing_is_missing_in_the_end(
    mood: str, proxy: Proxy, tmp_path: Path
) -> None:
    shows = mirror(proxy, mood)
    first, second = begin_run(tmp_path / "runs", 1), begin_run(tmp_path / "runs", 2)
    shows.sync(first, final=False)
    log_epoch(first, 0)
    shows.sync(first, final=True)
    proxy.mood = mood
    for run in (first, second):  # neither waits for long, and neither fails
        shows.sync(run, final=False)
        end_run(run)
        shows.sync(run, final=True)
        run.release("finished")
    proxy.mood = "up"
    proxy.gate.set()
    if mood == "broken":  # that process is gone: the records are copied by hand
        _, failed = copy_all(Store(proxy.uri, mood), [first, second])
        assert failed == 0
    else:  # it goes on, and makes up for it
        until = time.monotonic() + 300
        while not (is_whole(proxy, mood, first) and is_whole(proxy, mood, second)) and time.monotonic() < until:
            time.sleep(0.1)
    assert is_whole(proxy, mood, first)
    assert is_whole(proxy, mood, second)
    assert copy_all(Store(proxy.uri, mood), [first, second]) == (0, 0)


@pytest.mark.slow
def test_what_is_left_of_a_server_whose_starter_was_killed_is_ended_and_the_next_asks_who_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "launch.mlflow_server", f"folder={tmp_path}", f"port={port}"]
    command.append(f"database=sqlite:///{tmp_path / 'runs.db'}")
    ready = f"export MLFLOW_TRACKING_URI=http://127.0.0.1:{port}\n"

    def start(*more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == ready, process.communicate()
        return process

    first = start()
    first.kill()
    first.communicate()
    left = list(processes_of(tmp_path))
    assert left  # they answer, as if nothing had happened
    with pytest.raises(ConfigError, match="Address already in use"):
        check_port("127.0.0.1", port)
    second = start("auth=true")
    try:
        assert not set(left) & set(processes_of(tmp_path))
        ini = configparser.ConfigParser(interpolation=None)
        ini.read(tmp_path / "admin.ini")
        assert (tmp_path / "admin.ini").stat().st_mode & 0o077 == 0
        store = Store(f"http://127.0.0.1:{port}", "mine")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "guessed")
        with pytest.raises(ConfigError, match="asks for a name and a password"):
            copy_all(store, [])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ini["mlflow"]["admin_password"])
        assert copy_all(store, []) == (0, 0)
    finally:
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=300)
    assert second.returncode == 0
    assert list(processes_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("words", "key"),
    [(["port=0"], "port"), (["folder=3"], "folder"), (["hosts=x"], "hosts"), (["database=mine"], "database")],
)
def test_what_cannot_be_used_is_told_at_once(words: list[str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        serve(words)
    assert caught.value.key == key
