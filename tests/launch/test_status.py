"""States of runs from their directories, SLURM's queue and accounting; status, cancel and retry."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.cancel import run as cancel
from launch.queue_claims import Claims
from launch.retry import _USAGE
from launch.retry import run as retry
from launch.run_states import RunState, read_run_states
from launch.status import run as status
from launch.submit import run as submit
from ordinalclip.config.compose import compose_config
from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import prepare
from ordinalclip.runs.run import Run
from tests.launch.fake_slurm import FakeSlurm


def made(root: Path, name: str, told: str, task: int | None = None, *, ended: str | None = None, **facts: Any) -> Run:
    """A run's directory as an attempt of job 17 leaves it on another host."""
    run = Run(root / f"{name}-{len(name):010d}")
    (run.directory / "attempts").mkdir(parents=True)
    attempt = {"attempt": 2, "host": "h", "slurm_node": "node1", "pid": 1, "pid_start": 1.0, "slurm_restart": 0}
    attempt |= {"slurm_job": None if task is None else "17", "slurm_task": None if task is None else str(task)}
    attempt |= {"started": "2026-01-01T00:00:00+0000", "ended": ended, "outcome": told if ended else None}
    (run.directory / "attempts" / "0002.json").write_text(json.dumps(attempt))
    (run.directory / "status.json").write_text(json.dumps({"status": told, "epoch": 3, "epochs": 20, **facts}))
    (run.directory / "identity.json").write_text("{}")
    return run


def stands(run: Run) -> RunState:
    (one,) = read_run_states([run], run.directory.parent)
    return one


@pytest.mark.parametrize(
    ("told", "by_slurm", "error", "state", "why"),
    [
        ("interrupted", "TIMEOUT", "", "interrupted", "timeout"),
        ("running", "OUT_OF_MEMORY", "", "interrupted", "out of memory"),
        ("interrupted", "PREEMPTED", "", "interrupted", "preempted"),
        ("running", "NODE_FAIL", "", "interrupted", "node failure"),
        ("interrupted", "CANCELLED", "", "interrupted", "cancelled"),
        ("running", "FAILED", "", "interrupted", "killed"),
        ("interrupted", "COMPLETED", "", "interrupted", ""),
        ("failed", "FAILED", "ValueError: no\nmore", "failed", "bug"),
        ("failed", "FAILED", "OutOfMemoryError: CUDA", "failed", "out of memory"),
        ("failed", "FAILED", "OSError: [Errno 28] No space left on device; it is kept", "failed", "full disk"),
        ("finished", "TIMEOUT", "", "finished", ""),
    ],
)
def test_ends_are_told_apart(
    told: str, by_slurm: str, error: str, state: str, why: str, tmp_path: Path, slurm: FakeSlurm
) -> None:
    slurm.add("17", {"17_3": by_slurm})
    ended = "2026-01-01T00:01:00+0000" if told != "running" else None
    run = made(tmp_path, "x", told, 3, ended=ended, error=error)
    if ended is None:  # no sign of life for a while
        os.utime(run.directory / "attempts" / "0002.json", (0, 0))
    one = stands(run)
    assert (one.state, one.reason, one.error) == (state, why, error.partition("\n")[0])
    assert (one.node, one.attempts, one.epoch, one.epochs) == ("node1", 2, 3, 20)


@pytest.mark.parametrize(
    ("told", "facts", "by_slurm", "before"),
    [
        ("interrupted", {"why": "preempted"}, ["REQUEUED", "PENDING"], ", preempted before"),
        ("interrupted", {"why": "timeout"}, ["REQUEUED", "PENDING"], ", timeout before"),
        ("running", {}, ["NODE_FAIL", "PENDING"], ", node failure before"),
        ("interrupted", {}, ["PREEMPTED", "PENDING"], ", preempted before"),
        ("interrupted", {}, ["REQUEUED", "PENDING"], ""),
        ("interrupted", {}, ["PENDING"], ""),
    ],
)
def test_a_run_that_waits_to_go_on_says_why_it_does(
    told: str, facts: dict[str, str], by_slurm: list[str], before: str, tmp_path: Path, slurm: FakeSlurm
) -> None:
    slurm.add("17", {"17_3": "PENDING"}, history={"17_3": by_slurm[:-1]})
    run = made(tmp_path, "x", told, 3, ended="now" if told == "interrupted" else None, **facts)
    os.utime(run.directory / "attempts" / "0002.json", (0, 0))
    claims = Claims(tmp_path)
    claim = claims.take(run.run_id, run.directory.name, None)
    assert claim is not None
    claims.submitted(claim, slurm_id="17_3", plan=tmp_path / "plan", log=tmp_path / "log")
    one = stands(run)
    assert (one.state, one.reason) == ("queued", f"job 17_3{before}")


@pytest.mark.parametrize(
    ("command", "words", "key", "told"),
    [
        (status, ["swep=s"], "swep", "did you mean sweep?"),
        (status, ["--wacth"], "--wacth", "did you mean --watch?"),
        (status, ["first"], "sweep", "sweep=first, run=first"),
        (cancel, ["sweep=s", "epochs=3"], "epochs", "sweep, run, paths.runs"),
        (retry, ["sweep=s", "epochs=3"], "epochs", "cluster.…"),
        (retry, ["sweep=s", "hydra/launcher=local"], "hydra/launcher", "slurm"),
        (submit, ["seed=1", "hydra/launcher=local"], "hydra/launcher", "slurm"),
        (submit, ["tracking=local"], "tracking", "analysis.sync"),
    ],
)
def test_what_a_command_cannot_use_is_refused(
    command: Any, words: list[str], key: str, told: str, tmp_path: Path, slurm: FakeSlurm, small: list[str]
) -> None:
    (tmp_path / "runs" / "sweeps").mkdir(parents=True)
    (tmp_path / "runs" / "sweeps" / "s.json").write_text('{"runs": {}}')
    more = small if command is submit else []
    with pytest.raises(ConfigError) as caught:
        command([*more, *words])
    assert caught.value.key == key
    assert told in str(caught.value)
    assert not slurm.calls("sbatch")


@pytest.mark.slow
def test_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    status([])
    assert capsys.readouterr().out == f"there are no runs in {runs} yet\n"
    run = made(runs, "local", "interrupted", ended="now")
    lines = [{"values": {"val/mae": value}} for value in (0.75, 0.5)] + [{"values": {"test/mae": 1}}]
    (run.directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"val/mae')
    made(runs, "done", "finished", ended="now", seconds=3725)
    made(runs, "broken", "failed", ended="now", error="KeyError: 'x'\nTraceback")
    assert (stands(run).state, stands(run).score) == ("interrupted", 0.5)
    status([])
    assert capsys.readouterr().out.splitlines() == [
        "run                state        epoch  val/mae  node      time  attempts",
        "broken-0000000006  failed: bug   3/20           node1                  2  KeyError: 'x'",
        "done-0000000004    finished      3/20           node1  1:02:05         2",
        "local-0000000005   interrupted   3/20    0.500  node1                  2",
        "3 runs: 1 finished, 1 interrupted, 1 failed",
    ]
    with pytest.raises(ConfigError, match="there is no sweep no in"):
        status(["sweep=no"])
    with pytest.raises(ConfigError, match="which runs"):
        cancel([])


@pytest.mark.slow
def test_a_job_that_died_before_its_run_began(tmp_path: Path, slurm: FakeSlurm, small: list[str]) -> None:
    submission = submit(["-m", *small, "seed=0,1", "sweep=s"])
    claims = Claims(tmp_path / "runs").read()
    first = next(claim for claim in claims.values() if claim.slurm_id == "17_0")
    slurm.set("17_0", "FAILED")
    Path(first.log).write_text("Traceback\nImportError: no module\n\n")
    slurm.set("17_1", "NODE_FAIL")
    runs = [one.run for one in submission.states_before]
    one, other = read_run_states(runs, tmp_path / "runs")
    assert (one.state, one.reason, one.error) == ("failed", "bug", "ImportError: no module")
    assert (other.state, other.reason) == ("new", "node failure")


@pytest.mark.slow
def test_what_came_after_a_job_counts_and_not_how_the_job_had_ended(
    tmp_path: Path, slurm: FakeSlurm, small: list[str]
) -> None:
    submission = submit([*small, "seed=0"])
    slurm.set("17", "FAILED")
    Path(next(iter(Claims(tmp_path / "runs").read().values())).log).write_text("ImportError: of the job")
    run = submission.states_before[0].run
    for told, error in (("failed", "ValueError: of another process"), ("interrupted", "KeyboardInterrupt")):
        run.claim()
        run.set_status(told, epochs=2, error=error)
        run.release(told)
        one = stands(run)
        assert (one.state, one.reason, one.error) == (("failed", "bug", error) if told == "failed" else (told, "", ""))


def test_the_time_is_of_all_attempts(tmp_path: Path) -> None:
    run = made(tmp_path, "x", "finished", ended="2026-01-01T00:01:00+0000", seconds=50.0)
    assert stands(run).seconds == 50
    killed = {"attempt": 1, "started": "2026-01-01T00:00:00+0000", "ended": None}
    first = run.directory / "attempts" / "0001.json"
    first.write_text(json.dumps(killed))
    began = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    os.utime(first, (began, began + 30))
    assert stands(run).seconds == 80
    (run.directory / "status.json").write_text(json.dumps({"status": "interrupted"}))
    assert stands(run).seconds == 90


@pytest.mark.slow
def test_cancelled_and_queued_again(
    tmp_path: Path, slurm: FakeSlurm, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    submission = submit(["-m", *small, "seed=0,1,2", "sweep=first", "cluster.partition=p", "cluster.mem_gb=5"])
    runs = tmp_path / "runs"
    (runs / submission.states_before[2].run.directory.name).mkdir()
    (runs / submission.states_before[2].run.directory.name / "status.json").write_text('{"status": "finished"}')
    assert cancel(["sweep=first"]) == ["17_0", "17_1"]
    assert slurm.calls("scancel") == [["17_0", "17_1"]]
    assert [one.state for one in read_run_states([one.run for one in submission.states_before], runs)] == [
        "new",
        "new",
        "finished",
    ]
    assert cancel(["sweep=first"]) == []
    where = small[-2:]
    documented = _USAGE.rpartition("python -m launch.retry ")[2].split()
    assert documented == ["sweep=first", "cluster.mem_gb=32", "hydra.launcher.timeout_min=1440"]
    (again,) = retry([*documented, *where, "+hydra.launcher.additional_parameters.nice=5"])
    assert again.slurm_ids == ["18_0", "18_1"]
    lines = Path(slurm.calls("sbatch")[1][-1]).read_text().splitlines()
    assert {f"#SBATCH --{option}" for option in ("mem=32GB", "time=1440", "nice=5", "partition=p")} <= {*lines}
    assert retry(["sweep=first", *where]) == []
    (waits,) = read_run_states([submission.states_before[0].run], runs)
    assert (waits.state, waits.reason) == ("queued", "job 18_0")
    capsys.readouterr()
    status([f"run={waits.run.run_id}"])
    assert "queued: job 18_0" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_queued_again_has_the_settings_that_it_had(tmp_path: Path, slurm: FakeSlurm, small: list[str]) -> None:
    runs, where = tmp_path / "runs", small[-2:]
    served = ["tracking=server", "tracking.uri=http://127.0.0.1:9", "cache.limit_gb=3", "cluster.qos=q"]
    words = (["seed=0", *served], ["seed=1", "sweep_name=mine"])
    jobs = [prepare(compose_config([*small, *one])) for one in words]
    for job, told in zip(jobs, words, strict=True):  # interrupted, the first as a job, the other here
        job.run.claim()
        job.run.set_status("interrupted", epochs=2)
        job.run.write("config.yaml", yaml.safe_dump(job.cfg))
        job.run.write_json("overrides.json", [*small, *told])
        job.run.write_json("identity.json", job.identity)
        job.run.write_json("labels.json", {"sweep": job.cfg["sweep_name"]})
        job.run.release("interrupted")
    attempt = next((jobs[0].run.directory / "attempts").iterdir())
    attempt.write_text(json.dumps(json.loads(attempt.read_text()) | {"slurm_job": "3"}))
    for run in (jobs[0].run.run_id, jobs[1].run.run_id):
        with pytest.raises(ConfigError, match="SQLite"):
            retry([f"run={run}", *where, "tracking=local"])
    (first,) = retry([f"run={jobs[0].run.run_id}", *where, "num_workers=1"])
    again = first.queued[0].job.cfg
    assert (again["tracking"]["uri"], again["cache"]["limit_gb"], again["num_workers"]) == ("http://127.0.0.1:9", 3, 1)
    assert "#SBATCH --qos=q" in Path(slurm.calls("sbatch")[0][-1]).read_text()
    (second,) = retry(["sweep=mine", *where, "cluster.partition=p"])  # a name that no note lists
    assert second.queued[0].job.run.run_id == jobs[1].run.run_id
    assert second.queued[0].job.cfg["tracking"] == {"_target_": "ordinalclip.tracking.NoMirror"}
    assert "#SBATCH --partition=p" in Path(slurm.calls("sbatch")[1][-1]).read_text()
    assert {claim.run for claim in Claims(runs).read().values()} == {job.run.directory.name for job in jobs}
