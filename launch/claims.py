"""Which runs wait in SLURM's queue: a claim each, so that none is queued twice, by whatever number of submissions.

`<runs>/queued/<run_id>.0001.json` is a file that exactly one process can create, before the job is submitted; its
number in the queue is written into it afterwards. Nothing is locked: a claim whose job has gone, or whose submitter
died before there was a job, is followed by the next number.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from launch.outcome import Outcome, ask_queue
from ordinalclip.runs.leases import STALE_AFTER_S, identity, process_start


@dataclass(frozen=True)
class Claim:
    """One run in the queue.

    Attributes:
        run_id: which.
        run: name of its directory.
        number: of the claims on this run.
        host, pid, pid_start: who submits it.
        submitted: when, in seconds since 1970.
        slurm_id: `17` or, in an array, `17_3`, once there is a job.
        plan: the file that says what the job does.
        log: where the job's own output goes.
        sweep: name of its sweep.
        ended: what became of the job, where that is known: cancelled.
    """

    run_id: str
    run: str
    number: int
    host: str
    pid: int
    pid_start: float | None
    submitted: float
    slurm_id: str | None = None
    plan: str = ""
    log: str = ""
    sweep: str | None = None
    ended: str | None = None


class Claims:
    """The claims below a folder of runs.

    Args:
        runs: the folder of the runs.
    """

    def __init__(self, runs: Path) -> None:
        self.folder = runs / "queued"

    def read(self) -> dict[str, Claim]:
        """Run id → its newest claim, whether or not its job is in the queue any more."""
        newest: dict[str, tuple[str, str]] = {}
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                run_id, _, number = entry.name.removesuffix(".json").partition(".")
                if entry.name.endswith(".json") and number.isdecimal():
                    newest[run_id] = max(newest.get(run_id, ("", "")), (number, entry.path))
        claims = {}
        for run_id, (_, path) in newest.items():
            with contextlib.suppress(OSError, ValueError, TypeError):  # just taken back, or torn
                claims[run_id] = Claim(**json.loads(Path(path).read_text(encoding="utf-8")))
        return claims

    def take(self, run_id: str, run: str, after: Claim | None, *, sweep: str | None = None) -> Claim | None:
        """Claims a run; None where another process was quicker.

        Args:
            run_id: of the run.
            run: name of its directory.
            after: the claim that was found spent.
            sweep: name of its sweep.
        """
        me = identity()
        number = 1 if after is None else after.number + 1
        claim = Claim(run_id, run, number, me["host"], me["pid"], me["pid_start"], time.time(), sweep=sweep)
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self._draft(claim)
        try:
            os.link(draft, self._path(claim))  # atomic, and fails where two race
        except FileExistsError:
            return None
        finally:
            draft.unlink()
        if after is not None:
            self._path(after).unlink(missing_ok=True)
        return claim

    def submitted(self, claim: Claim, *, slurm_id: str, plan: Path, log: Path) -> Claim:
        """Writes down what became of a claim: a job in the queue."""
        known = replace(claim, slurm_id=slurm_id, plan=str(plan), log=str(log))
        self._draft(known).replace(self._path(known))
        return known

    def end(self, claim: Claim, how: str) -> None:
        """Writes down that a claim's job will come to nothing."""
        self._draft(replace(claim, ended=how)).replace(self._path(claim))

    def give_back(self, claim: Claim) -> None:
        """Takes a claim back whose job could not be submitted."""
        self._path(claim).unlink(missing_ok=True)

    def _path(self, claim: Claim) -> Path:
        return self.folder / f"{claim.run_id}.{claim.number:04d}.json"

    def _draft(self, claim: Claim) -> Path:
        me = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
        draft = self.folder / f".{claim.run_id}.{claim.number:04d}-{me}"
        draft.write_text(json.dumps(asdict(claim)) + "\n", encoding="utf-8")
        return draft


def queue_of(claims: Iterable[Claim]) -> dict[str, Outcome] | None:
    """The queue's word on the jobs of these claims; None where it does not answer."""
    return ask_queue(sorted({claim.slurm_id.partition("_")[0] for claim in claims if claim.slurm_id is not None}))


def is_waiting(claim: Claim, queue: Mapping[str, Outcome] | None) -> bool:
    """Whether a claim holds: its job is in the queue, or its submitter is at work; where nobody can tell, it does."""
    if claim.ended is not None:
        return False
    if claim.slurm_id is not None:
        return queue is None or (claim.slurm_id in queue and not queue[claim.slurm_id].is_over)
    if claim.host == socket.gethostname():
        start = process_start(claim.pid)
        return start is not None and start == claim.pid_start
    return time.time() - claim.submitted <= STALE_AFTER_S
