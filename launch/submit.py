"""`python -m launch.submit -m …`: what `ordinalclip.train -m` would run, queued in SLURM, which needs no terminal."""

import logging
from collections import Counter
from collections.abc import Sequence

from launch.composition import Typed, read_sweep
from launch.stores import check_store
from launch.submission import Submission, submit
from launch.sweep import STATE_WORDS, note_sweep
from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import plan, tell_notes

log = logging.getLogger("ordinalclip")

# Detached, nobody is there to mirror runs; `python -m analysis.sync` does so at any time.
ADDED = ("hydra/launcher=slurm", "tracking=offline")
_USAGE = """\
OrdinalCLIP queues a run, or with -m a sweep of them, in SLURM, and leaves: the terminal may be closed.

  python -m launch.submit [-m] [GROUP=OPTION …] [KEY=VALUE …] [cluster=SITE] [hydra.launcher.KEY=VALUE …]

Every job is composed and checked here, weights are fetched here, runs that are done, at work or queued are left out.
The rest waits as job arrays, with a copy of the code as it is now.

  cluster   a site's partition, account, limits: conf/cluster/SITE.yaml
  tracking  offline where nothing is said (python -m analysis.sync fills MLflow), or a server
  hydra.launcher.timeout_min   minutes of a job, which goes on where it was when they are over

python -m ordinalclip.train hydra/launcher=slurm --cfg hydra -p hydra.launcher shows the launcher's settings.

Then
  python -m launch.status sweep=NAME     how its runs stand
  python -m launch.cancel sweep=NAME     takes them out of the queue
  python -m launch.retry sweep=NAME      queues what failed again
See docs/slurm.md."""


def main() -> None:
    """Entry point."""
    run_command(run, _USAGE)


def run(words: Sequence[str]) -> Submission:
    """Plans, checks and queues what was typed; prints the numbers of the arrays.

    Raises:
        ConfigError: for the first job that could not start; nothing has been queued then.
    """
    typed = read_sweep(words, "python -m launch.submit", ADDED)
    check_launcher(typed)
    if typed.note:
        log.info("%s", typed.note)
    jobs = plan(typed.compose, typed.product, typed.config_dirs)
    check_store(jobs, typed.overrides, mirrored=False)
    tell_notes([note for job in jobs for note in job.manifest.notes])
    note_sweep(jobs, typed.overrides)
    submission = submit(jobs, typed.config_dirs, typed.launcher, typed.overrides)
    tell(submission)
    return submission


def check_launcher(typed: Typed) -> None:
    """Raises a ConfigError for a launcher that knows nothing of arrays."""
    if "array_limit" not in typed.launcher:
        named = ["", *(word.partition("=")[2] for word in typed.overrides if word.startswith("hydra/launcher="))]
        remedy = "python -m ordinalclip.train -m hydra/launcher=local … runs several at a time on this machine"
        problem = "is not SLURM's, where this command queues runs"
        raise ConfigError("hydra/launcher", named[-1], problem, allowed="slurm", remedy=remedy)


def tell(submission: Submission) -> None:
    """Prints how the runs stood, and what was queued as what."""
    words = Counter(STATE_WORDS.get(one.state, one.state) for one in submission.stood)
    number = len(submission.stood)
    said = ", ".join(f"{count} {word}" for word, count in words.items())
    log.info("%d run%s: %s", number, "s" if number != 1 else "", said)
    queued = len(submission.slurm_ids)
    if queued:
        log.info("queued %d job%s, listed in %s", queued, "s" if queued != 1 else "", submission.plan)
        print(*submission.arrays)
    else:
        log.info("nothing is left to queue")


if __name__ == "__main__":
    main()
