"""`python -m launch.cancel`: takes runs out of SLURM's queue, and ends those that are at work there."""

import logging
import subprocess
from collections.abc import Sequence

from launch.chosen import choose
from launch.claims import Claims
from launch.standing import Standing, standings
from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError

log = logging.getLogger("ordinalclip")

_AT_A_TIME = 500
_PATIENCE_S = 60.0  # scancel waits for minutes where the controller is down
_USAGE = """\
OrdinalCLIP takes the runs of a sweep, or one run, out of SLURM's queue, and ends those that are at work there.

  python -m launch.cancel sweep=NAME | run=RUN [paths.runs=FOLDER]

What they have done is kept: submitted again, they go on from their last epoch.

Examples
  python -m launch.cancel sweep=first
  python -m launch.cancel run=0123456789"""


def main() -> None:
    """Entry point."""
    run_command(run, _USAGE)


def run(words: Sequence[str]) -> list[str]:
    """Cancels what was chosen, and returns the jobs that were ended.

    Raises:
        ConfigError: SLURM does not answer, or refuses.
    """
    chosen = choose(words)
    stands = [one for one in standings(chosen.runs, chosen.root) if one.state in ("queued", "running")]
    jobs = sorted(one.slurm_id for one in stands if one.slurm_id is not None)
    for one in stands:
        if one.slurm_id is None:
            log.info("left alone, it is no job of SLURM's: %s (%s)", one.run.directory.name, one.why or one.node)
    for start in range(0, len(jobs), _AT_A_TIME):
        _scancel(jobs[start : start + _AT_A_TIME])
    _note(stands, Claims(chosen.root))
    log.info("%d of %d runs cancelled", len(jobs), len(chosen.runs))
    return jobs


def _scancel(jobs: Sequence[str]) -> None:
    try:
        done = subprocess.run(["scancel", *jobs], capture_output=True, text=True, timeout=_PATIENCE_S)
    except FileNotFoundError:
        raise ConfigError("scancel", " ".join(jobs[:3]), "there is no SLURM here") from None
    except subprocess.TimeoutExpired:
        raise ConfigError("scancel", " ".join(jobs[:3]), "does not answer: SLURM's controller is down") from None
    if done.returncode != 0 and "Invalid job id" not in done.stderr:  # ended meanwhile
        raise ConfigError("scancel", " ".join(jobs[:3]), done.stderr.strip())


def _note(stands: Sequence[Standing], claims: Claims) -> None:
    known = claims.read()
    for one in stands:
        claim = known.get(one.run.run_id)
        if claim is not None and claim.slurm_id == one.slurm_id:
            claims.end(claim, "cancelled")


if __name__ == "__main__":
    main()
