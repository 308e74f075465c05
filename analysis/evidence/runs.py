"""Runs by the code that a sweep runs, in turn or several at a time; what is finished is left alone."""

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from analysis.evidence.plan import PROVING_SETTING, RATE_SETTING, RATES, Cell, neighbours, rate_cells, setting
from analysis.evidence.scores import Scored, read
from ordinalclip.cli.command import log_to_terminal
from ordinalclip.config.compose import conf_dir
from ordinalclip.errors import Busy
from ordinalclip.execution.job import mirror_of, run_job
from ordinalclip.preparation.prepare import Job, plan

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


# MERGED: """Each method's learning rate, chosen on val with a seed that is not compared.
#
# The best at 16 shots is taken if it learns from all images as well: near the largest rate that works at one size,
# another size may not be learned at all. A rate that does worse with more images is dropped for the next lower one, if
# that does better with all images.
# """


@dataclass(frozen=True)
class Choice:
    """What came of it.

    Attributes:
        tried: finished runs at 16 shots.
        proved: finished runs on all images.
        rates: method → rate.
    """

    tried: list[Scored]
    proved: list[Scored]
    rates: dict[str, str]


def choose_rates(
    names: Sequence[str], first: Sequence[str], overrides: Sequence[str], *, widen: bool, dry: bool, at_once: int = 1
) -> Choice:
    """Runs what it takes to choose.

    Args:
        names: of methods.
        first: rates that all are tried with.
        overrides: added to each run's words.
        widen: whether to go on beyond the first rates, and to try all images.
        dry: run nothing.
        at_once: runs at a time.
    """
    tried = try_rates(names, first, overrides, widen=widen, dry=dry, at_once=at_once)
    rates = best_rates(tried)
    if not widen:
        return Choice(tried, [], rates)
    proved: list[Scored] = []
    doubtful = dict(rates)
    while doubtful:
        cells = rate_cells({name: [rate] for name, rate in doubtful.items()}, setting(PROVING_SETTING))
        found = [read(cell, job) for cell, job in carry_out(cells, overrides, dry=dry, at_once=at_once).items()]
        proved += found
        rates = best_rates(proved)  # without those that another process is at work on
        doubtful = {
            one.cell.method: lower(one.cell.rate)
            for one in found
            if rates[one.cell.method] == one.cell.rate != RATES[0] and not learns_more(one, tried)
        }
    return Choice(tried, proved, rates)


def learns_more(proof: Scored, tried: Sequence[Scored]) -> bool:
    """Whether `val/mae` on all images is below that of the same rate at 16 shots; true where that is not known."""
    same = [one for one in tried if (one.cell.method, one.cell.rate) == (proof.cell.method, proof.cell.rate)]
    return all(proof.stats["val/mae"] < one.stats["val/mae"] for one in same)


def lower(rate: str) -> str:
    """The next lower rate of the ladder; its lowest is as low as it gets."""
    return RATES[max(RATES.index(rate) - 1, 0)]


def try_rates(
    names: Sequence[str], first: Sequence[str], overrides: Sequence[str], *, widen: bool, dry: bool, at_once: int = 1
) -> list[Scored]:
    """Runs the first rates of each method, then the next one beside the best while the best is at an edge.

    Returns:
        Finished runs of the methods all of whose rates are known; another process may be at work on others.
    """
    rates = {name: [*first] for name in names}
    while True:
        cells = rate_cells(rates, setting(RATE_SETTING))
        finished = carry_out(cells, overrides, dry=dry, at_once=at_once)
        lacking = {cell.method for cell in cells if cell not in finished}
        tried = [read(cell, job) for cell, job in finished.items() if cell.method not in lacking]
        more = neighbours(best_rates(tried), rates) if widen else {}
        if not more:
            return tried
        for name, some in more.items():
            rates[name] += some


def best_rates(scored: Sequence[Scored]) -> dict[str, str]:
    """Each method's learning rate with the least `val/mae`, the mean over seeds; of equals the lower."""
    rates: dict[str, str] = {}
    for method in dict.fromkeys(one.cell.method for one in scored):
        found = rate_table(scored, method)
        rates[method] = min(sorted(found, key=float), key=lambda rate: found[rate])
    return rates


def rate_table(scored: Sequence[Scored], method: str) -> dict[str, float]:
    """Learning rate → mean `val/mae` over seeds, of one method."""
    found: dict[str, list[float]] = {}
    for one in scored:
        if one.cell.method == method:
            found.setdefault(one.cell.rate, []).append(one.stats["val/mae"])
    return {rate: float(np.mean(values)) for rate, values in found.items()}
