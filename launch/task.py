"""What runs on a node: one run, from its configuration as plain data.

Submitit starts it, and again when the job was requeued. Nothing but that data is kept between two starts: how far the
run is, its own directory says.
"""

import logging
import signal
import sys
from collections.abc import Sequence
from typing import Any

from submitit.core.utils import DelayedSubmission

from ordinalclip.slurm_job import own_job
from ordinalclip.stop import Stopped

log = logging.getLogger("ordinalclip")

_SUPERSEDED = 75  # exit code of a process whose run was given to another one


class Task:
    """Brings one run to its end; pickled by reference, so that a job runs the code that its PYTHONPATH names."""

    def __call__(self, cfg: dict[str, Any], overrides: Sequence[str]) -> str:
        """Trains, tests and records.

        Args:
            cfg: from `ordinalclip.config.plain`.
            overrides: what was typed for it, for the record.

        Returns:
            "finished", or what another process is doing.

        Raises:
            Exception: whatever the run failed of; submitit prints it, and the job fails.
        """
        # Imported here, so that a job that is told to stop while it starts is still submitit's to requeue.
        from ordinalclip.job import run_job
        from ordinalclip.lease import Busy, Superseded
        from ordinalclip.prepare import prepare
        from ordinalclip.serving.asked import register_finished
        from ordinalclip.terminal import log_to_terminal

        log_to_terminal()
        try:
            job = prepare(cfg, tuple(overrides))
            run_job(job, in_sweep=True)
            register_finished([job])  # nobody may be there to do so for the sweep
        except Busy as busy:
            log.info("nothing was done here: %s", busy)
            return str(busy)
        except Superseded as error:
            # Not as an exception: submitit would write it down as the outcome of the job, which runs elsewhere.
            log.info("%s", error)
            sys.exit(_SUPERSEDED)
        except Stopped as stop:
            _stop(stop)
        return "finished"

    def checkpoint(self, cfg: dict[str, Any], overrides: Sequence[str]) -> DelayedSubmission:
        """What submitit starts after a requeue: the same."""
        return DelayedSubmission(self, cfg, overrides)


def _stop(stop: Stopped) -> None:
    """Ends a job that was asked to stop; it is requeued unless SLURM does so, or it was cancelled."""
    # Submitit's own signal is for what is to go on; what the others mean, only SLURM knows.
    # A job says RUNNING also where a preemption has given it a while.
    if stop.by == signal.SIGUSR2 or own_job().get("JobState") == "RUNNING":
        signal.raise_signal(signal.SIGUSR2)
    sys.exit(stop.code)
