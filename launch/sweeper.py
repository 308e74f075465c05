"""`-m`: every job is composed, checked and looked up before the first one starts; only what is missing is launched."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from ordinalclip.config import plain
from ordinalclip.job import mirror_of
from ordinalclip.prepare import Job, prepare
from ordinalclip.report import print_store, print_sweep

log = logging.getLogger("ordinalclip")


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the others are done."""


class OrdinalSweeper(BasicSweeper):
    """The cartesian product of the comma-separated overrides, less what is done already."""

    def __init__(self) -> None:
        super().__init__(max_batch_size=None, params=None)

    def sweep(self, arguments: list[str]) -> Any:
        """Plans all jobs, launches what is missing, prints one table.

        Raises:
            ConfigError: for the first job that could not start; nothing has been launched then.
            SweepFailed: after all jobs, when some failed.
        """
        assert self.hydra_context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        product = self.split_arguments(parser.parse_overrides(arguments), None)[0]
        jobs = self._distinct([self._job(overrides) for overrides in product])
        if not jobs:
            return []
        states = {job.run.run_id: job.run.state() for job in jobs}
        log.info("%d runs: %s", len(jobs), ", ".join(f"{n} {state}" for state, n in Counter(states.values()).items()))
        missing = [job for job in jobs if job.cfg["rerun"] or states[job.run.run_id] not in ("finished", "running")]
        self._note_sweep(jobs, arguments)
        results: list[JobReturn] = []
        if missing:
            mirror_of(missing[0].cfg).prepare()  # before jobs that share the store could race to create it
            results = list(self.launcher.launch([list(job.overrides) for job in missing], initial_job_idx=0))
        print_sweep(jobs)
        print_store(jobs[0].cfg)
        self._raise_failures(missing, results)
        return results

    def _job(self, overrides: list[str]) -> Job:
        assert self.hydra_context is not None
        assert self.config is not None
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        return prepare(plain(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])), tuple(overrides))

    @staticmethod
    def _distinct(jobs: list[Job]) -> list[Job]:
        """One job a run id: two spellings of one experiment are one run."""
        distinct = {job.run.run_id: job for job in reversed(jobs)}
        if len(distinct) < len(jobs):
            log.info(
                "%d of %d jobs describe a run that another one describes too", len(jobs) - len(distinct), len(jobs)
            )
        return list(reversed(distinct.values()))

    @staticmethod
    def _note_sweep(jobs: list[Job], arguments: list[str]) -> None:
        name = jobs[0].cfg["sweep"]
        if name is None:
            return
        path = Path(jobs[0].cfg["paths"]["runs"]) / "sweeps" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text()) if path.exists() else {"runs": {}}
        known["runs"] |= {job.run.directory.name: list(job.overrides) for job in jobs}
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(known | {"arguments": arguments}, indent=2) + "\n")
        draft.replace(path)

    @staticmethod
    def _raise_failures(missing: list[Job], results: list[JobReturn]) -> None:
        failed = [
            f"  {' '.join(job.overrides)}: {result._return_value}"
            for job, result in zip(missing, results, strict=True)
            if result.status == JobStatus.FAILED
        ]
        if failed:
            raise SweepFailed(
                f"{len(failed)} of {len(results)} runs failed; tracebacks are in their run.log:\n" + "\n".join(failed)
            )
