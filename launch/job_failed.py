"""A job on another machine that ended without its run being finished."""

from pathlib import Path


class JobFailed(RuntimeError):
    """What happened to a job, in words.

    Args:
        problem: what happened.
        log: where more of it stands.
    """

    def __init__(self, problem: str, log: Path) -> None:
        super().__init__(problem)
        self.log = log
