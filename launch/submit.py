"""`python -m launch.submit -m …`: queues the runs of `ordinalclip.train -m` in SLURM and returns without waiting."""

import logging
from collections.abc import Sequence

from launch.composition import SweepRequest, read_sweep
from launch.stores import check_store
from launch.submission import Submission, submit
from launch.sweep import count_states, record_sweep
from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import log_notes, plan

log = logging.getLogger("ordinalclip")

# No process waits to mirror the runs; `python -m analysis.sync` does so at any time.
DEFAULT_OVERRIDES = ("hydra/launcher=slurm", "tracking=offline")
_USAGE = """\
OrdinalCLIP queues a run, or with -m a sweep, in SLURM and returns: the terminal may be closed.

  python -m launch.submit [-m] [GROUP=OPTION …] [KEY=VALUE …] [cluster=SITE] [hydra.launcher.KEY=VALUE …]

Every job is composed and checked here, and weights are fetched here. Runs that are finished, running or queued are
skipped. The others are queued as job arrays, with a copy of the current code.

  cluster   a site's partition, account, limits: conf/cluster/SITE.yaml
  tracking  offline by default (python -m analysis.sync fills MLflow), or a server
  hydra.launcher.timeout_min   time limit of a job in minutes; a job that reaches it is requeued and resumes

python -m ordinalclip.train hydra/launcher=slurm --cfg hydra -p hydra.launcher shows the launcher's settings.

Then
  python -m launch.status sweep=NAME     shows the states of its runs
  python -m launch.cancel sweep=NAME     removes them from the queue
  python -m launch.retry sweep=NAME      queues failed runs again
See docs/slurm.md."""


def main() -> None:
    """Entry point."""
    run_command(run, _USAGE)


def run(words: Sequence[str]) -> Submission:
    """Plans, checks and queues a sweep; prints the ids of the arrays.

    Raises:
        ConfigError: for the first invalid job; nothing has been queued.
    """
    request = read_sweep(words, "python -m launch.submit", DEFAULT_OVERRIDES)
    check_launcher(request)
    if request.note:
        log.info("%s", request.note)
    jobs = plan(request.compose, request.product, request.config_dirs)
    check_store(jobs, request.overrides, mirrored=False)
    log_notes([note for job in jobs for note in job.manifest.notes])
    record_sweep(jobs, request.overrides)
    submission = submit(jobs, request.config_dirs, request.launcher, request.overrides)
    report_submission(submission)
    return submission


def check_launcher(request: SweepRequest) -> None:
    """Raises ConfigError if `hydra/launcher` is not `slurm`."""
    if "array_limit" not in request.launcher:
        named = ["", *(word.partition("=")[2] for word in request.overrides if word.startswith("hydra/launcher="))]
        remedy = "python -m ordinalclip.train -m hydra/launcher=local … runs several at a time on this machine"
        problem = "is not SLURM's, where this command queues runs"
        raise ConfigError("hydra/launcher", named[-1], problem, allowed="slurm", remedy=remedy)


def report_submission(submission: Submission) -> None:
    """Logs the states of the runs and what was queued; prints the ids of the arrays."""
    log.info("%s", count_states([one.state for one in submission.states_before]))
    queued = len(submission.slurm_ids)
    if queued:
        log.info("queued %d job%s, listed in %s", queued, "s" if queued != 1 else "", submission.plan)
        print(*submission.arrays)
    else:
        log.info("nothing is left to queue")


if __name__ == "__main__":
    main()
