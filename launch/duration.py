"""How long a run took, or has been at it: all of its attempts together."""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ordinalclip.lease import newest_attempt
from ordinalclip.runs import Run


def seconds_of(run: Run, state: str, status: Mapping[str, Any]) -> float | None:
    """Seconds of a run's attempts; one that was killed ended with its last sign of life.

    Args:
        run: any run.
        state: of the run, as `Run.state` gives it.
        status: content of its status.json.

    Returns:
        None where it is not known of the newest attempt.
    """
    newest = newest_attempt(run.directory)
    if newest is None:
        return status.get("seconds")
    number, file = newest
    last = status.get("seconds") if state == "finished" else _length(file, is_running=state == "running")
    if last is None or number == 1:
        return last
    earlier = [_length(one) for one in file.parent.glob("*.json") if one.stem.isdecimal() and one != file]
    return last + sum(seconds for seconds in earlier if seconds is not None)


def moment(text: str | None) -> float | None:
    """A time as an attempt's file has it, in seconds since 1970; None for anything else."""
    try:
        return datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None


def _length(file: Path, *, is_running: bool = False) -> float | None:
    try:
        attempt, touched = json.loads(file.read_text(encoding="utf-8")), file.stat().st_mtime
    except (OSError, ValueError):
        return None
    began = moment(attempt.get("started"))
    if is_running:
        ended: float | None = time.time()
    else:
        ended = touched if attempt.get("ended") is None else moment(attempt["ended"])
    return None if began is None or ended is None else max(0.0, ended - began)
