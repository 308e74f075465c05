import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ordinalclip.errors import Busy, Superseded
from ordinalclip.runs import leases as lease
from ordinalclip.runs.leases import STALE_AFTER_S, Lease, identity, is_alive, living_attempt
from ordinalclip.system import slurm

ASK = slurm._ask


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs named here are not those of a cluster that this machine may belong to."""
    monkeypatch.setattr(slurm, "_ask", lambda job: None)
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)


def elsewhere(**changes: object) -> dict[str, object]:
    here = {"host": "another-host", "pid": 1, "pid_start": 0.0, "slurm_job": "7", "slurm_task": "0", "slurm_restart": 0}
    return here | changes


def test_second_claim_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    with pytest.raises(Busy, match=f"process {os.getpid()}"):
        Lease(tmp_path)
    lease.release("finished")
    assert Lease(tmp_path).number == 2


def test_killed_process_leaves_nothing_locked(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from ordinalclip.runs.leases import Lease; "
    code += "Lease(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    assert living_attempt(tmp_path) is None
    assert Lease(tmp_path).number == 2


def test_superseded_writer_is_told(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    newer = tmp_path / "attempts" / "0002.json"
    newer.write_text(json.dumps(identity() | {"started": "now"}))
    with pytest.raises(Superseded):
        lease.check()
    lease.release("finished")
    assert json.loads(lease.path.read_text())["ended"] is None  # a superseded attempt has no say any more


def test_one_of_many_racing_claims_wins(tmp_path: Path) -> None:
    def claim(_: int) -> bool:
        try:
            Lease(tmp_path)
        except Busy:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(claim, range(64))) == 1


def test_reused_pid_is_not_the_same_process() -> None:
    mine = identity()
    assert is_alive(mine, 1e9)  # on this host the process table decides, not the heartbeat
    assert not is_alive(mine | {"pid_start": mine["pid_start"] - 1}, 0.0)


def test_attempts_on_other_hosts_are_judged_by_heartbeat_and_restart_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_alive(elsewhere(), 299)  # seconds, as documented
    assert not is_alive(elsewhere(), 301)
    assert not is_alive(elsewhere(ended="now"), 0.0)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not is_alive(elsewhere(), 0.0)  # SLURM requeued this very job: the old process must be on its way out
    assert is_alive(elsewhere(slurm_task="1"), 0.0)


def test_a_requeued_job_takes_over_though_the_process_of_a_lost_node_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    old = Lease(tmp_path)  # of this process, and so of one that lives
    with pytest.raises(Busy):
        Lease(tmp_path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert Lease(tmp_path).number == 2
    with pytest.raises(Superseded):
        old.check()
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")  # another job of the array has no right to it
    with pytest.raises(Busy):
        Lease(tmp_path)


SQUEUE = """#!/bin/sh
echo "$@" >>"$0.asked"
case "$*" in
  *--jobs=7*) printf '0 RUNNING\\n1 PENDING\\n2 COMPLETED\\n' ;;
  *--jobs=8*) echo 'N/A RUNNING' ;;
  *--jobs=9*) echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1 ;;
  *) echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("job", "task", "alive"),
    [
        ("7", "0", True),
        ("7", "1", False),
        ("7", "2", False),
        ("7", "5", False),
        ("8", None, True),
        ("9", None, False),
        ("10", None, True),
    ],
)
def test_of_a_job_elsewhere_slurm_is_asked_and_the_heartbeat_where_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, task: str | None, alive: bool
) -> None:
    (tmp_path / "squeue").write_text(SQUEUE)
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_answers", {})
    monkeypatch.setattr(slurm, "_ask", ASK)
    attempt = elsewhere(slurm_job=job, slurm_task=task)
    assert is_alive(attempt, 1.0) == alive
    assert is_alive(attempt, 1.0) == alive
    assert not is_alive(attempt, STALE_AFTER_S + 1)
    assert len((tmp_path / "squeue.asked").read_text().splitlines()) == 1


def test_old_heartbeat_of_another_host_is_stale(tmp_path: Path) -> None:
    (tmp_path / "attempts").mkdir()
    file = tmp_path / "attempts" / "0001.json"
    file.write_text(json.dumps(elsewhere(started="long ago")))
    assert living_attempt(tmp_path) is not None
    old = time.time() - STALE_AFTER_S - 5
    os.utime(file, (old, old))
    assert living_attempt(tmp_path) is None


def test_a_process_that_came_in_between_is_not_superseded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Lease(tmp_path).release("failed")
    look = lease._living

    def look_slowly(file: Path) -> object:
        found = look(file)
        if not (tmp_path / "attempts" / "0002.json").exists():
            monkeypatch.setattr(lease, "_living", look)
            Lease(tmp_path)  # of another process, which looked at the same time
        return found

    monkeypatch.setattr(lease, "_living", look_slowly)
    with pytest.raises(Busy):
        Lease(tmp_path)
    assert [path.name for path in sorted((tmp_path / "attempts").iterdir())] == ["0001.json", "0002.json"]


def test_attempts_are_counted_past_strange_files(tmp_path: Path) -> None:
    attempts = tmp_path / "attempts"
    attempts.mkdir()
    for name in ("9999.json", "10000.json", "0001 (copy).json"):
        (attempts / name).write_text("{}")
    assert living_attempt(tmp_path) is None
    assert Lease(tmp_path).number == 10001
