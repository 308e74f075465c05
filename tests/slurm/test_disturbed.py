"""Runs that are preempted, requeued, killed, out of time, or on a node that goes down: side by side, then looked at."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch

from ordinalclip.runs.run import Run, find_runs
from tests.slurm.conftest import Cluster, finish, local, wait_for
from tests.slurm.paced import DIES, PACE, PACED
from tests.slurm.same import assert_same, values_by_epoch

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

EPOCHS = 24
WORDS = (f"epochs={EPOCHS}", *PACED)
SLOW, HELD = 0.3, 2.5  # seconds a step; held, the epochs left outlive a time limit and the search for a lost node


class Disturbed:
    """One run on the cluster, in a folder of its own.

    Args:
        cluster: where.
        name: of the disturbance.
        pace: seconds a step.
        words: for its job.
        environment: of its first command.
    """

    def __init__(self, cluster: Cluster, name: str, pace: float, *words: str, **environment: str) -> None:
        self.cluster, self.name, self.words = cluster, name, words
        self.notes: dict[str, Any] = {}
        self.pace, self.store = cluster.folder / f"{name}.pace", cluster.folder / name / "mlflow.db"
        self.go(pace)
        self.driver = self.start(**environment)

    def start(self, **environment: str) -> "subprocess.Popen[str]":
        """Types its command."""
        common = ["-m", "hydra/launcher=slurm", "cluster=trial", "cluster.cpus=1", "cluster.mem_gb=1", *WORDS]
        return self.cluster.start(*common, *self.words, runs=self.name, **{PACE: str(self.pace)}, **environment)

    def go(self, seconds: float) -> None:
        """Sets its pace."""
        draft = self.pace.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.replace(self.pace)

    @property
    def run(self) -> Run:
        """Its record, once there is one."""
        (run,) = wait_for(lambda: find_runs(self.cluster.folder / self.name), f"{self.name} has a record")
        return run

    def attempts(self) -> list[dict[str, object]]:
        """Of the run, in order."""
        files = sorted((self.run.directory / "attempts").glob("*.json"))
        return [json.loads(file.read_text()) for file in files]

    def pid(self) -> int:
        """Of its newest attempt's process."""
        return int(str(self.attempts()[-1]["pid"]))

    def slurm_id(self) -> str:
        """Of its job."""
        return str(self.attempts()[-1]["slurm_job"])

    def wait(self, epoch: int = 2) -> None:
        """Until so many epochs are done; from then on it hardly gets anywhere."""

        def there() -> bool:
            assert self.driver.poll() is None, self.driver.communicate()
            return self.run.epochs_done() >= epoch

        wait_for(there, f"{self.name} is in epoch {epoch}")
        self.go(HELD)

    def wait_for_attempt(self, number: int) -> None:
        """Until the run is taken up again; from then on it goes as fast as it can."""
        wait_for(lambda: len(self.attempts()) >= number, f"attempt {number} of {self.name}")
        self.go(0.0)

    def shown(self) -> str | None:
        """What the driver's store says of it, read from its file; None where it is not there yet."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=60)) as opened:
                rows = opened.execute("SELECT status FROM runs").fetchall()
        except sqlite3.OperationalError:  # no file, or no table yet
            return None
        assert len(rows) <= 1, rows
        return str(rows[0][0]) if rows else None

    def wait_shown(self, status: str) -> None:
        """Until the driver's store says so."""
        wait_for(lambda: self.shown() == status, f"{self.name} is shown as {status}")

    def hear(self, words: str) -> str:
        """What its driver says up to a line with these words."""
        assert self.driver.stderr is not None
        said = ""
        for line in self.driver.stderr:
            said += line
            if words in line:
                return said
        pytest.fail(f"{self.name} never said {words!r}: {said}")

    def told(self) -> str:
        """What `launch.status` says of it."""
        return self.cluster.command("status", runs=self.name).stdout

    def see_it_through(self, attempt: int) -> "Disturbed":
        """Waits for an attempt, and for the end of the driver."""
        self.wait_for_attempt(attempt)
        self.ended = self.end()
        return self

    def end(self) -> subprocess.CompletedProcess[str]:
        """Of its driver."""
        return finish(self.driver)


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster) -> Run:
    local(cluster, WORDS, "undisturbed")
    (run,) = find_runs(cluster.folder / "undisturbed")
    assert values_by_epoch(run).keys() == {*range(EPOCHS + 1)}
    return run


@pytest.fixture(scope="module")
def small_disk(cluster: Cluster) -> Iterator[Path | None]:
    """The folder of the run whose disk is to be full; None where none can be mounted."""
    place = cluster.folder / "full_disk"
    place.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    mounted = subprocess.run(line, capture_output=True).returncode == 0
    yield place if mounted else None
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="module")
def disturbed(cluster: Cluster, undisturbed: Run, small_disk: Path | None) -> Iterator[dict[str, Future[Disturbed]]]:
    """All of them at once; the one whose node is to go down begins on node2, and may go on anywhere."""
    cluster.call("scontrol", "update", "nodename=node1", "state=drain", "reason=test")
    runs = [Disturbed(cluster, "node_lost", SLOW, "cluster.gpus=0")]
    on_node1 = "+hydra.launcher.additional_parameters.nodelist=node1"
    # SLURM tells of a time limit up to a minute early, and starts may be slow.
    limit = ("hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=20")
    runs += [
        Disturbed(cluster, "preempted", SLOW, on_node1, "cluster.gpus=2", "tracking.every_s=1"),
        Disturbed(cluster, "requeued", SLOW, on_node1, "cluster.gpus=0", "tracking.every_s=1"),
        Disturbed(cluster, "killed", SLOW, on_node1, "cluster.gpus=0", **{DIES: str(cluster.folder / "may_die")}),
        Disturbed(cluster, "timed_out", HELD, on_node1, "cluster.gpus=0", "tracking.every_s=1", *limit),
    ]
    if small_disk is not None:
        runs.append(Disturbed(cluster, "full_disk", SLOW, on_node1, "cluster.gpus=0"))
    try:
        wait_for(lambda: cluster.call("squeue", "-h", "-w", "node2", "-o", "%i").split(), "a job is on node2")
        cluster.call("scontrol", "update", "nodename=node1", "state=resume")
        with ThreadPoolExecutor(len(runs)) as pool:
            yield {one.name: pool.submit(globals()[f"_{one.name}"], one) for one in runs}
    finally:
        for one in runs:
            one.driver.kill()
            one.driver.communicate()
        bring_back(cluster, "node2")


def _preempted(one: Disturbed) -> Disturbed:
    one.wait()
    one.wait_shown("RUNNING")
    need = ["--partition=urgent", "--nodelist=node1", "--gpus-per-node=1", "--mem=100", "--output=/dev/null"]
    held = one.cluster.folder / "urgent_may_end"
    line = f"until [ -e {held} ]; do sleep 0.2; done"
    one.notes["urgent"] = one.cluster.call("sbatch", "--parsable", *need, f"--wrap={line}").strip()
    try:
        one.wait_shown("KILLED")
        wait_for(lambda: ", preempted before" in one.told(), "status says why it waits")
    finally:
        held.touch()
    wait_for(lambda: len(one.attempts()) == 2, "it is taken up again")
    one.wait_shown("RUNNING")
    return one.see_it_through(2)


def _requeued(one: Disturbed) -> Disturbed:
    one.wait()
    one.go(4 * HELD)  # it outlives the end of one command and the start of another, however slow these are
    one.driver.send_signal(signal.SIGINT)
    one.notes["left"] = one.end()
    one.driver = one.start()
    one.notes["attached"] = one.hear("that SLURM has already")
    one.go(HELD)
    one.cluster.call("scontrol", "requeue", one.slurm_id())
    # Shown as KILLED until it is taken up again, which may come first on a busy machine; _preempted asserts it.
    wait_for(lambda: one.shown() == "KILLED" or len(one.attempts()) == 2, "it is shown as KILLED or taken up again")
    return one.see_it_through(2)


def _timed_out(one: Disturbed) -> Disturbed:
    wait_for(lambda: one.attempts()[0].get("outcome"), "it is out of time")
    one.notes["why"] = one.run.status().get("why")
    one.wait_shown("KILLED")
    more = ["scontrol", "update", f"jobid={one.slurm_id()}", "timelimit=60"]  # refused while it completes
    wait_for(lambda: subprocess.run(more, env=one.cluster.environment, timeout=120).returncode == 0, "it has more time")
    return one.see_it_through(2)


def _killed(one: Disturbed) -> Disturbed:
    one.wait()
    epoch = torch.load(one.run.last_checkpoint, weights_only=True)["epoch"]
    (one.cluster.folder / "may_die").touch()
    one.go(0.0)
    one.notes["killed"] = one.end()
    one.notes["state"], one.notes["shown"] = one.run.state(), one.shown()
    one.notes["drafts"] = [file.name for file in one.run.last_checkpoint.parent.glob(".*")]
    one.notes["kept"] = torch.load(one.run.last_checkpoint, weights_only=True)["epoch"] == epoch
    one.driver = one.start()
    return one.see_it_through(2)


def _full_disk(one: Disturbed) -> Disturbed:
    one.wait()
    filler = one.cluster.folder / one.name / "filler"
    one.go(0.0)
    while one.driver.poll() is None:  # what others free meanwhile is taken, too
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while file.write(b"0" * 4096):
                pass
        time.sleep(0.2)
    one.notes["full"], one.notes["told"] = one.end(), one.told()
    filler.unlink()
    one.driver = one.start()
    return one.see_it_through(2)


def _node_lost(one: Disturbed) -> Disturbed:
    one.wait()
    old, pid = one.attempts()[0], one.pid()
    assert old["slurm_node"] == "node2"
    daemon = one.cluster.state / "run" / "slurmd.node2.pid"
    os.kill(int(daemon.read_text()), signal.SIGKILL)
    epochs = one.run.epochs_done()
    wait_for(lambda: one.run.epochs_done() > epochs, "the old process goes on writing")
    one.wait_for_attempt(2)
    wait_for(lambda: not is_alive(pid), "the old process ends")
    return one.see_it_through(2)


def bring_back(cluster: Cluster, node: str) -> None:
    """Starts a node's daemon, and again where it is not heard of: its one message to a busy controller may be lost."""
    for _ in range(10):
        subprocess.run(["slurmd", "-N", node], env=cluster.environment, timeout=120)
        for _ in range(60):
            (state, *_) = cluster.call("sinfo", "-h", "-n", node, "-o", "%T").split()
            if state in ("idle", "mixed", "allocated", "completing"):
                return
            time.sleep(0.5)
    pytest.fail(f"{node} is {state}")


def check(one: Disturbed, undisturbed: Run, attempts: int | None = 2) -> None:
    """The run is what it would have been, and one run in the driver's store."""
    assert_same(one.run, undisturbed)
    if attempts is not None:
        assert len(one.attempts()) == attempts
    client = mlflow.MlflowClient(f"sqlite:///{one.store}")
    (experiment,) = (e for e in client.search_experiments() if e.name == "ordinalclip")
    (shown,) = client.search_runs([experiment.experiment_id])
    assert shown.data.tags["ordinalclip.run_id"] == one.run.run_id
    assert shown.info.status == "FINISHED"
    history = client.get_metric_history(shown.info.run_id, "val/mae")
    values = {value.step: value.value for value in history}
    assert sorted(values) == list(range(EPOCHS))
    assert values == {e: v["val/mae"] for e, v in values_by_epoch(undisturbed).items() if "val/mae" in v}
    times = [value.timestamp for value in sorted(history, key=lambda value: (value.step, value.timestamp))]
    assert times == sorted(times)


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


Futures = dict[str, Future[Disturbed]]


def test_one_that_is_preempted_by_a_higher_partition(disturbed: Futures, undisturbed: Run) -> None:
    one = disturbed["preempted"].result()
    assert one.ended.returncode == 0, one.ended.stderr
    check(one, undisturbed)
    rows = one.cluster.accounts
    wait_for(lambda: [one.notes["urgent"], "COMPLETED"] in rows("State"), "the accounts of the urgent job")
    assert one.attempts()[0]["outcome"] == "interrupted"
    assert "resuming" in (one.run.directory / "run.log").read_text()


def test_one_that_is_requeued_after_its_terminal_was_closed(disturbed: Futures, undisturbed: Run) -> None:
    one = disturbed["requeued"].result()
    left = one.notes["left"]
    assert left.returncode == 130, left.stderr
    assert f"scancel {one.slurm_id()} ends them" in left.stderr
    assert f"waiting for 1 that SLURM has already: {one.slurm_id()}" in one.notes["attached"]
    assert one.ended.returncode == 0, one.ended.stderr
    check(one, undisturbed)
    first, second = one.attempts()
    assert first["slurm_job"] == second["slurm_job"]
    assert (first["slurm_restart"], second["slurm_restart"]) == (0, 1)


def test_one_that_is_killed_before_a_checkpoint_is_renamed_goes_on_when_typed_again(
    disturbed: Futures, undisturbed: Run
) -> None:
    one = disturbed["killed"].result()
    killed = one.notes["killed"]
    assert killed.returncode == 1, killed.stderr
    assert "error: 1 of 1 runs failed" in killed.stderr
    assert "was killed by signal 9; was there too little memory? on node1" in killed.stderr
    assert (one.notes["state"], one.notes["shown"]) == ("interrupted", "KILLED")
    assert one.notes["drafts"] == [".0001-last.ckpt"]
    assert one.notes["kept"]
    assert one.ended.returncode == 0, one.ended.stderr
    assert "1 run: 1 interrupted" in one.ended.stderr
    check(one, undisturbed)


def test_one_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(disturbed: Futures, undisturbed: Run) -> None:
    if "full_disk" not in disturbed:
        pytest.skip("no small disk can be mounted here")
    one = disturbed["full_disk"].result()
    full = one.notes["full"]
    assert full.returncode == 1, full.stderr
    assert "No space left on device; what was there before is kept" in full.stderr
    assert "failed: full disk" in one.notes["told"]
    assert one.ended.returncode == 0, one.ended.stderr
    check(one, undisturbed)


def test_one_whose_node_goes_down_while_its_process_lives_on(disturbed: Futures, undisturbed: Run) -> None:
    one = disturbed["node_lost"].result()
    assert one.ended.returncode == 0, one.ended.stderr
    check(one, undisturbed)
    old, new = one.attempts()
    assert (new["slurm_job"], new["slurm_node"], new["slurm_restart"]) == (old["slurm_job"], "node1", 1)
    assert old["ended"] is None  # it had no say any more, though it lived:
    stderr = next(one.cluster.folder.glob(f"{one.name}/slurm/*_log.err")).read_text()
    assert "was followed by a newer one; nothing was written" in stderr


def test_one_that_is_out_of_time(disturbed: Futures, undisturbed: Run) -> None:
    one = disturbed["timed_out"].result()
    assert one.ended.returncode == 0, one.ended.stderr
    check(one, undisturbed, attempts=None)  # on a slow machine it runs out of time more than once
    assert len(one.attempts()) >= 2
    assert one.attempts()[0]["outcome"] == "interrupted"
    assert one.notes["why"] == "timeout"
    assert "Job has timed out" in next(one.cluster.folder.glob(f"{one.name}/slurm/*_log.out")).read_text()
