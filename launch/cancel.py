"""`python -m launch.cancel`: cancels the SLURM jobs of queued and running runs."""

import logging
import subprocess
from collections.abc import Sequence

from launch.queue_claims import Claims
from launch.run_states import RunState, read_run_states
from launch.selection import select_runs
from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError

log = logging.getLogger("ordinalclip")

_MAX_JOBS_PER_COMMAND = 500
_TIMEOUT_S = 60.0  # scancel blocks for minutes if the controller is down
_USAGE = """\
OrdinalCLIP removes the runs of a sweep, or one run, from SLURM's queue, and ends those that are running there.

  python -m launch.cancel sweep=NAME | run=RUN [paths.runs=FOLDER]

Their directories are kept: submitted again, they resume from their last epoch.

Examples
  python -m launch.cancel sweep=first
  python -m launch.cancel run=0123456789"""


def main() -> None:
    """Entry point."""
    run_command(run, _USAGE)


def run(words: Sequence[str]) -> list[str]:
    """Cancels the jobs of the selected runs and returns their ids.

    Raises:
        ConfigError: if SLURM does not answer or scancel fails.
    """
    selection = select_runs(words)
    states = [one for one in read_run_states(selection.runs, selection.root) if one.state in ("queued", "running")]
    jobs = sorted(one.slurm_id for one in states if one.slurm_id is not None)
    for one in states:
        if one.slurm_id is None:
            log.info("skipped, it is not a SLURM job: %s (%s)", one.run.directory.name, one.reason or one.node)
    for start in range(0, len(jobs), _MAX_JOBS_PER_COMMAND):
        _scancel(jobs[start : start + _MAX_JOBS_PER_COMMAND])
    _end_claims(states, Claims(selection.root))
    log.info("%d of %d runs cancelled", len(jobs), len(selection.runs))
    return jobs


def _scancel(jobs: Sequence[str]) -> None:
    try:
        done = subprocess.run(["scancel", *jobs], capture_output=True, text=True, timeout=_TIMEOUT_S)
    except FileNotFoundError:
        raise ConfigError("scancel", " ".join(jobs[:3]), "there is no SLURM here") from None
    except subprocess.TimeoutExpired:
        raise ConfigError("scancel", " ".join(jobs[:3]), "does not answer: SLURM's controller is down") from None
    if done.returncode != 0 and "Invalid job id" not in done.stderr:  # ended in between
        raise ConfigError("scancel", " ".join(jobs[:3]), done.stderr.strip())


def _end_claims(states: Sequence[RunState], claims: Claims) -> None:
    known = claims.read()
    for one in states:
        claim = known.get(one.run.run_id)
        if claim is not None and claim.slurm_id == one.slurm_id:
            claims.end(claim, "cancelled")


if __name__ == "__main__":
    main()
