"""Claims on runs in SLURM's queue: each run is queued once, however many submissions run at the same time.

A claim is a file `<runs>/queued/<run_id>.0001.json`. Exactly one process can create it, before it submits the job; the
job's id is written into it afterwards. There is no lock: a claim whose job is gone, or whose submitter died before
there was a job, is replaced by a claim with the next number.
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

from launch.slurm_outcome import JobOutcome, query_queue
from ordinalclip.runs.leases import STALE_AFTER_S, identity, process_start


@dataclass(frozen=True)
class Claim:
    """A claim on one run; the fields are those of its file.

    Attributes:
        run_id: of the run.
        run: name of the run's directory.
        number: of the claim among those on this run.
        host, pid, pid_start: the submitting process.
        submitted: seconds since 1970.
        slurm_id: `17`, or `17_3` in an array; None before the job is submitted.
        plan: the file that lists the jobs of the submission.
        log: the file that the job's stderr is written to.
        sweep: name of the run's sweep.
        ended: "cancelled" if the job was cancelled by `launch.cancel`.
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
        """Returns run id → its newest claim, whether or not its job is still in the queue."""
        newest: dict[str, tuple[str, str]] = {}
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                run_id, _, number = entry.name.removesuffix(".json").partition(".")
                if entry.name.endswith(".json") and number.isdecimal():
                    newest[run_id] = max(newest.get(run_id, ("", "")), (number, entry.path))
        claims = {}
        for run_id, (_, path) in newest.items():
            with contextlib.suppress(OSError, ValueError, TypeError):  # withdrawn in between, or truncated
                claims[run_id] = Claim(**json.loads(Path(path).read_text(encoding="utf-8")))
        return claims

    def take(self, run_id: str, run: str, after: Claim | None, *, sweep: str | None = None) -> Claim | None:
        """Claims a run; returns None if another process has claimed it first.

        Args:
            run_id: of the run.
            run: name of the run's directory.
            after: the stale claim to replace; None if there is none.
            sweep: name of the run's sweep.
        """
        me = identity()
        number = 1 if after is None else after.number + 1
        claim = Claim(run_id, run, number, me["host"], me["pid"], me["pid_start"], time.time(), sweep=sweep)
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self._draft(claim)
        try:
            os.link(draft, self._path(claim))  # atomic: fails for all processes but one
        except FileExistsError:
            return None
        finally:
            draft.unlink()
        if after is not None:
            self._path(after).unlink(missing_ok=True)
        return claim

    def submitted(self, claim: Claim, *, slurm_id: str, plan: Path, log: Path) -> Claim:
        """Records the job that was submitted for a claim."""
        known = replace(claim, slurm_id=slurm_id, plan=str(plan), log=str(log))
        self._draft(known).replace(self._path(known))
        return known

    def end(self, claim: Claim, how: str) -> None:
        """Records that a claim's job has ended without finishing its run."""
        self._draft(replace(claim, ended=how)).replace(self._path(claim))

    def withdraw(self, claim: Claim) -> None:
        """Removes a claim whose job was not submitted."""
        self._path(claim).unlink(missing_ok=True)

    def _path(self, claim: Claim) -> Path:
        return self.folder / f"{claim.run_id}.{claim.number:04d}.json"

    def _draft(self, claim: Claim) -> Path:
        me = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
        draft = self.folder / f".{claim.run_id}.{claim.number:04d}-{me}"
        draft.write_text(json.dumps(asdict(claim)) + "\n", encoding="utf-8")
        return draft


def query_claims(claims: Iterable[Claim]) -> dict[str, JobOutcome] | None:
    """Queries squeue for the jobs of some claims; returns None if it does not answer."""
    return query_queue(sorted({claim.slurm_id.partition("_")[0] for claim in claims if claim.slurm_id is not None}))


def is_waiting(claim: Claim, queue: Mapping[str, JobOutcome] | None) -> bool:
    """Whether a claim is valid: its job is in the queue, or its submitter is alive, or neither can be determined."""
    if claim.ended is not None:
        return False
    if claim.slurm_id is not None:
        return queue is None or (claim.slurm_id in queue and not queue[claim.slurm_id].is_over)
    if claim.host == socket.gethostname():
        start = process_start(claim.pid)
        return start is not None and start == claim.pid_start
    return time.time() - claim.submitted <= STALE_AFTER_S
