"""What finished runs took: the measured seconds of those that differ from a job in seed and rates at most."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from ordinalclip.runs import find_runs

_NOT_TIME = ("seed", "optimizer", "schedule", "label_draw", "protocol")


class FinishedRuns:
    """The finished runs of a folder by what decides how long they took.

    Args:
        root: the folder of the runs.
    """

    def __init__(self, root: Path) -> None:
        seconds: dict[str, list[float]] = defaultdict(list)
        for run in find_runs(root):
            status = run.status()
            # Of a run that was interrupted only the last attempt's time is known.
            if status.get("status") == "finished" and status.get("attempt") == 1 and "seconds" in status:
                seconds[_likeness(run.read_json("identity.json") or {})].append(float(status["seconds"]))
        self._seconds = dict(seconds)

    def seconds_like(self, identity: Mapping[str, Any]) -> tuple[float, int] | None:
        """Mean seconds of the runs like it, and how many there are; None where there is none."""
        found = self._seconds.get(_likeness(identity))
        return None if not found else (mean(found), len(found))


def _likeness(identity: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in identity.items() if key not in _NOT_TIME}
    kept["trainable"] = sorted(
        identity.get("trainable", {})
    )  # which parts learn, not how fast; null ones are not in it
    return json.dumps(kept, sort_keys=True)
