"""`hydra/launcher=local`: parallel runs equal sequential ones, also after a process is killed.

Each test trains in several processes, which takes seconds.
"""

import os
import re
import signal
import sqlite3
from pathlib import Path

import pytest
import torch

from ordinalclip.runs.leases import living_attempt
from ordinalclip.runs.run import Run, find_runs
from tests.run_cli import SMALL, start, train, wait_for

pytestmark = pytest.mark.slow
LOCAL = ("-m", "hydra/launcher=local", "hydra.launcher.jobs=2")


def runs(folder: Path) -> list[Run]:
    return find_runs(folder / "runs")


def workers(folder: Path) -> dict[int, Run]:
    """Process → the run that it works on."""
    living = {run: living_attempt(run.directory) for run in runs(folder) if run.status().get("epoch")}
    return {attempt["pid"]: run for run, attempt in living.items() if attempt is not None}


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_results_are_those_of_one_run_after_another_and_a_failure_stops_nobody(tmp_path: Path) -> None:
    axes = ("trainable.rank=1e30,1e-3", "seed=0,1,2")
    here, turn = tmp_path / "here", tmp_path / "turn"
    here.mkdir()
    turn.mkdir()
    done = train(
        here,
        *SMALL,
        *LOCAL,
        "hydra.launcher.jobs_per_gpu=2",
        *axes,
        "tracking=local",
        f"paths.cache={tmp_path}",
        f"paths.data={tmp_path}",
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "6 runs: 6 new"
    assert lines.count("2 at a time, 1 thread each") == 1
    assert lines.count("hydra.launcher.jobs_per_gpu=2: these runs have no GPU to share") == 1
    ends = sorted(line for line in lines if re.match(r"run \d of 6: ", line))
    assert [line[:10] for line in ends] == [f"run {number} of 6" for number in range(1, 7)]
    assert sum(bool(re.search(r"rank=0.001 seed=\d, [\d.]+ s$", line)) for line in ends) == 3, ends
    assert sum("rank=1e+30 seed=" in line and ": FloatingPointError: " in line for line in ends) == 3, ends
    assert "error: 3 of 6 runs failed; each one's run.log has the traceback:" in lines
    failed = [run for run in runs(here) if run.state() == "failed"]
    assert len(failed) == 3
    for run in failed:
        assert f"    {run.directory / 'run.log'}" in lines
        assert "Traceback" in (run.directory / "run.log").read_text()
    assert "Traceback" not in done.stderr
    assert re.search(r"^ 0.001 +3/3 +\d", done.stdout, re.MULTILINE), done.stdout
    with sqlite3.connect(here / "runs" / "mlflow.db") as store:
        states = dict(store.execute("select status, count(*) from runs group by status"))
        values = store.execute("select count(*) from metrics where key = 'val/mae'").fetchone()[0]
    assert states == {"FINISHED": 3, "FAILED": 3}
    assert values == sum("val/mae" in line["values"] for run in runs(here) for line in run.metrics())

    train(turn, *SMALL, "-m", *axes, f"paths.cache={tmp_path}", f"paths.data={tmp_path}")
    for one, other in zip(runs(here), runs(turn), strict=True):
        assert one.directory.name == other.directory.name
        assert [line["values"] for line in one.metrics()] == [line["values"] for line in other.metrics()]
        assert one.read_json("test_stats.json") == other.read_json("test_stats.json")
        assert one.status().get("threads") == other.status().get("threads") == 1
        if one.state() == "finished":
            states = [torch.load(run.best_checkpoint, weights_only=True)["state_dict"] for run in (one, other)]
            assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# Processes that import torch for themselves, as in use: five of them.
def test_what_is_killed(tmp_path: Path) -> None:
    words = [*SMALL, *LOCAL, "epochs=800", "prompt=linear", "seed=0,1,2,3"]
    with start(tmp_path, *words) as process:
        wait_for(lambda: len(workers(tmp_path)) == 2, process)
        shares = [os.sched_getaffinity(pid) for pid in workers(tmp_path)]
        pid, run = next(iter(workers(tmp_path).items()))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(workers(tmp_path).keys() - {pid}) == 2, process)  # another is in its place, with a run
        interrupted = run.state() == "interrupted"
        pids = list(workers(tmp_path))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert interrupted
    if len(os.sched_getaffinity(0)) >= 2:  # each has cores of its own
        assert not set.intersection(*shares)
    assert process.returncode == 130, err
    assert "run 1 of 4: seed=" in err
    assert "WorkerDied: its process was killed by SIGKILL; was there too little memory?" in err
    assert "0 of 4 runs are finished" in err
    assert "Traceback" not in err
    assert all(map(gone, pids))
    assert [run.state() for run in runs(tmp_path)] == ["interrupted"] * 3
    assert sorted(run.status()["status"] for run in runs(tmp_path)) == ["interrupted"] * 2 + ["running"]

    with start(tmp_path, *words, "hydra.launcher.jobs=1") as process:
        wait_for(lambda: len(workers(tmp_path)) == 1, process)
        (pid,) = workers(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=300)
    for _ in range(3000):
        if gone(pid):
            break
        signal.sigtimedwait([], 0.1)
    assert gone(pid)
    assert sum(run.status()["status"] == "interrupted" for run in runs(tmp_path)) >= 2
