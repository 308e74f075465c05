"""The task of one SLURM job: trains one run from its configuration as plain data.

Submitit starts it, and starts it again after each requeue. Nothing but that data is kept between two starts: the run
resumes from its own directory.
"""

import logging
import signal
import sys
from collections.abc import Sequence
from typing import Any

from submitit.core.utils import DelayedSubmission

from ordinalclip.system.interruption import Stopped
from ordinalclip.system.slurm import own_job

log = logging.getLogger("ordinalclip")

_SUPERSEDED_EXIT_CODE = 75  # of a process whose run was taken over by another one


class Task:
    """Trains one run. Pickled by reference, so that a job runs the code that its PYTHONPATH names."""

    def __call__(self, cfg: dict[str, Any], overrides: Sequence[str]) -> str:
        """Trains, evaluates and registers the run.

        Args:
            cfg: from `plain_config`.
            overrides: of the run, for its record.

        Returns:
            "finished", or a message if another process works on the run.

        Raises:
            Exception: any error of the run; submitit prints it, and the job fails.
        """
        # Imported here, so that a job that is stopped during these imports is still requeued by submitit.
        from ordinalclip.cli.command import log_to_terminal
        from ordinalclip.errors import Busy, Superseded
        from ordinalclip.execution.job import register_finished, run_job
        from ordinalclip.preparation.prepare import prepare

        log_to_terminal()
        try:
            job = prepare(cfg, tuple(overrides))
            run_job(job, in_sweep=True)
            register_finished([job])  # the process that launched the sweep may have ended
        except Busy as busy:
            log.info("nothing was done here: %s", busy)
            return str(busy)
        except Superseded as error:
            # Not raised: submitit would record it as the result of the job, which runs elsewhere.
            log.info("%s", error)
            sys.exit(_SUPERSEDED_EXIT_CODE)
        except Stopped as stop:
            _stop(stop)
        return "finished"

    def checkpoint(self, cfg: dict[str, Any], overrides: Sequence[str]) -> DelayedSubmission:
        """Returns what submitit starts after a requeue: the same task."""
        return DelayedSubmission(self, cfg, overrides)


def _stop(stop: Stopped) -> None:
    """Ends a stopped job; requeues it, unless SLURM does so itself or the job was cancelled."""
    # Submitit sends SIGUSR2 to jobs that are to be requeued. After other signals, SLURM's state of the job decides:
    # it is RUNNING also during the grace time of a preemption.
    if stop.by == signal.SIGUSR2 or own_job().get("JobState") == "RUNNING":
        signal.raise_signal(signal.SIGUSR2)
    sys.exit(stop.code)
