"""Shows runs of other processes in their stores: one thread, so that a store has one writer and nobody waits for it."""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from ordinalclip.job import mirror_of
from ordinalclip.prepare import Job
from ordinalclip.runs import Run
from ordinalclip.tracking.store import Store

log = logging.getLogger("ordinalclip")

_PAUSE_S = 1.0  # between two looks at the runs; a mirror decides by itself how often it copies


class Mirroring:
    """A context in which runs are mirrored while they are worked on, and wholly when they have ended."""

    def __init__(self) -> None:
        self._cfgs: dict[Run, dict[str, Any]] = {}
        self._ended: list[Run] = []
        self._news, self._closing = threading.Condition(), False
        self._thread = threading.Thread(target=self._mirror, name="mirroring", daemon=True)

    def begin(self, run: Run, cfg: dict[str, Any]) -> None:
        """From now on a run is shown."""
        with self._news:
            self._cfgs[run] = cfg

    def end(self, run: Run) -> None:
        """A run has ended: it is shown for the last time, with how it ended; one that never began is not."""
        with self._news:
            self._ended.append(run)
            self._news.notify()

    def __enter__(self) -> "Mirroring":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Waits until all that has ended is shown."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()

    def _mirror(self) -> None:
        while True:
            with self._news:
                if not self._ended and not self._closing:
                    self._news.wait(_PAUSE_S)
                ended, self._ended = self._ended, []
                done = self._closing and not ended
                running = {run: cfg for run, cfg in self._cfgs.items() if run not in ended}
                last = [(run, self._cfgs.pop(run)) for run in ended if run in self._cfgs]
            for run, cfg in last:
                mirror_of(cfg).sync(run, final=True)
            if done:
                return
            for run, cfg in running.items():
                mirror_of(cfg).sync(run, final=False)


def show_finished(jobs: Iterable[Job]) -> None:
    """Copies finished runs that their stores do not have, or not to the end: nobody may have been here when they ended.

    Args:
        jobs: of a sweep; what a store has already is passed over, and one that does not answer is warned of.
    """
    from analysis.sync import copy_all  # a command, which imports how sweeps end

    stores: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for job in jobs:
        tracking = job.cfg["tracking"]
        if "uri" in tracking and job.run.state() == "finished":
            stores[tracking["uri"], tracking["experiment"]].append(job.run)
    for (uri, experiment), runs in stores.items():
        try:
            copy_all(Store(uri, experiment), runs)
        except Exception as error:  # whatever a store may raise: the runs are done
            log.warning("%s; the runs are done, and python -m analysis.sync shows them", str(error).partition("\n")[0])
