"""Runs by the code that a sweep runs, in turn or several at a time; what is finished is left alone."""

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from analysis.evidence.plan import Cell
from launch.sweep import plan
from ordinalclip.conf_dir import conf_dir
from ordinalclip.job import mirror_of, run_job
from ordinalclip.lease import Busy
from ordinalclip.prepare import Job
from ordinalclip.terminal import log_to_terminal

log = logging.getLogger("ordinalclip")


def carry_out(
    cells: Sequence[Cell], overrides: Sequence[str], *, dry: bool = False, at_once: int = 1
) -> dict[Cell, Job]:
    """Plans all runs, does those that are missing, and gives back those that are finished then.

    Every run is an ordinary one: `python -m ordinalclip.train` with the cell's words and the overrides. Several
    processes may work on the same cells.

    Args:
        cells: in the order in which they are run.
        overrides: added to each run's words.
        dry: run nothing.
        at_once: runs at a time, each in a process of one thread; small towers gain less from more threads than from
            company.

    Raises:
        ConfigError: for the first run that could not start.
    """
    jobs = prepared(cells, overrides)
    left = [cell for cell in cells if jobs[cell].run.state() not in ("finished", "running")]
    if not dry:
        log.info("%d runs, %d of them to do", len(cells), len(left))
        mirror_of(jobs[cells[0]].cfg).prepare()
        if min(at_once, len(left)) > 1:
            _share(left, overrides, min(at_once, len(left)))
            return carry_out(cells, overrides, dry=True)
        for number, cell in enumerate(left, 1):
            log.info("%d of %d: %s", number, len(left), " ".join(cell.words))
            try:
                run_job(jobs[cell], in_sweep=True)
            except Busy as busy:  # another process has it
                log.info("left to another process: %s", busy)
    return {cell: job for cell, job in jobs.items() if job.run.state() == "finished"}


def _share(cells: Sequence[Cell], overrides: Sequence[str], at_once: int) -> None:
    """Every process takes each `at_once`-th run, since neighbours take about as long."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=spawn, initializer=_alone) as pool:
        shares = [pool.submit(_do_share, list(cells[first::at_once]), list(overrides)) for first in range(at_once)]
        for share in shares:
            share.result()


def _alone() -> None:
    import torch

    torch.set_num_threads(1)
    log_to_terminal()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def _do_share(cells: Sequence[Cell], overrides: Sequence[str]) -> None:
    carry_out(cells, overrides)


def prepared(cells: Sequence[Cell], overrides: Sequence[str]) -> dict[Cell, Job]:
    """The job of each cell; two cells may describe one run."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return {cell: plan(_compose, [[*cell.words, *overrides]])[0] for cell in cells}


def _compose(words: list[str]) -> DictConfig:
    return compose("train", words)
