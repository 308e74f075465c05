"""Trains the runs of the comparison, and chooses each method's learning rate on val with a seed that is not compared.

A rate is chosen by val/mae at 16 shots, and then has to improve with all images: close to the largest rate that works
with one number of images, training may fail with another. A rate that gets worse with more images is replaced by the
next lower one if that is better with all images.
"""

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from analysis.evidence.plan import PROVING_SETTING, RATE_SETTING, RATES, Cell, neighboring_rates, rate_cells, setting
from analysis.evidence.scores import ScoredRun, read_scores
from ordinalclip.cli.command import log_to_terminal
from ordinalclip.config.compose import conf_dir
from ordinalclip.errors import Busy
from ordinalclip.execution.job import mirror_of, run_job
from ordinalclip.preparation.prepare import Job, plan

log = logging.getLogger("ordinalclip")


def run_cells(
    cells: Sequence[Cell], overrides: Sequence[str], *, dry: bool = False, at_once: int = 1
) -> dict[Cell, Job]:
    """Plans all runs, trains those that are missing, and returns the finished ones.

    Runs are the same as those of `python -m ordinalclip.train` with the words of the cell and the overrides. Several
    processes may work on the same cells.

    Args:
        cells: in the order of training.
        overrides: added to the words of each run.
        dry: train nothing.
        at_once: number of runs at a time, each in a process with one thread, as small towers gain little from more.

    Raises:
        ConfigError: for the first invalid run.
    """
    jobs = prepare_cells(cells, overrides)
    left = [cell for cell in cells if jobs[cell].run.state() not in ("finished", "running")]
    if not dry:
        log.info("%d runs, %d of them to do", len(cells), len(left))
        mirror_of(jobs[cells[0]].cfg).prepare()
        if min(at_once, len(left)) > 1:
            _run_in_processes(left, overrides, min(at_once, len(left)))
            return run_cells(cells, overrides, dry=True)
        for number, cell in enumerate(left, 1):
            log.info("%d of %d: %s", number, len(left), " ".join(cell.words))
            try:
                run_job(jobs[cell], in_sweep=True)
            except Busy as busy:  # another process works on it
                log.info("left to another process: %s", busy)
    return {cell: job for cell, job in jobs.items() if job.run.state() == "finished"}


def _run_in_processes(cells: Sequence[Cell], overrides: Sequence[str], at_once: int) -> None:
    """Trains in several processes; each takes every `at_once`-th run, since neighboring runs take about as long."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=spawn, initializer=_use_one_thread) as pool:
        shares = [pool.submit(_run_share, list(cells[first::at_once]), list(overrides)) for first in range(at_once)]
        for share in shares:
            share.result()


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    log_to_terminal()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def _run_share(cells: Sequence[Cell], overrides: Sequence[str]) -> None:
    run_cells(cells, overrides)


def prepare_cells(cells: Sequence[Cell], overrides: Sequence[str]) -> dict[Cell, Job]:
    """Returns the job of each cell; two cells may describe the same run."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return {cell: plan(_compose, [[*cell.words, *overrides]])[0] for cell in cells}


def _compose(words: list[str]) -> DictConfig:
    return compose("train", words)


@dataclass(frozen=True)
class Choice:
    """The chosen learning rates.

    Attributes:
        tried: finished runs at 16 shots.
        proved: finished runs on all images.
        rates: method → learning rate.
    """

    tried: list[ScoredRun]
    proved: list[ScoredRun]
    rates: dict[str, str]


def choose_rates(
    names: Sequence[str], first: Sequence[str], overrides: Sequence[str], *, widen: bool, dry: bool, at_once: int = 1
) -> Choice:
    """Chooses a learning rate for each method, and trains the runs that this needs.

    Args:
        names: of the methods.
        first: rates that are tried for all methods.
        overrides: added to the words of each run.
        widen: whether to try more rates, and to train on all images.
        dry: train nothing.
        at_once: number of runs at a time.
    """
    tried = try_rates(names, first, overrides, widen=widen, dry=dry, at_once=at_once)
    rates = best_rates(tried)
    if not widen:
        return Choice(tried, [], rates)
    proved: list[ScoredRun] = []
    doubtful = dict(rates)
    while doubtful:
        cells = rate_cells({name: [rate] for name, rate in doubtful.items()}, setting(PROVING_SETTING))
        found = [read_scores(cell, job) for cell, job in run_cells(cells, overrides, dry=dry, at_once=at_once).items()]
        proved += found
        rates = best_rates(proved)  # without runs that another process works on
        doubtful = {
            one.cell.method: lower(one.cell.rate)
            for one in found
            if rates[one.cell.method] == one.cell.rate != RATES[0] and not improves_with_data(one, tried)
        }
    return Choice(tried, proved, rates)


def improves_with_data(proof: ScoredRun, tried: Sequence[ScoredRun]) -> bool:
    """Whether val/mae on all images is below that of the same rate at 16 shots; True if the latter is not known."""
    same = [one for one in tried if (one.cell.method, one.cell.rate) == (proof.cell.method, proof.cell.rate)]
    return all(proof.stats["val/mae"] < one.stats["val/mae"] for one in same)


def lower(rate: str) -> str:
    """Returns the next lower rate in `RATES`, or the lowest one."""
    return RATES[max(RATES.index(rate) - 1, 0)]


def try_rates(
    names: Sequence[str], first: Sequence[str], overrides: Sequence[str], *, widen: bool, dry: bool, at_once: int = 1
) -> list[ScoredRun]:
    """Tries the first rates of each method, and further ones while the best is the lowest or the highest tried.

    Returns:
        Finished runs of the methods with all runs finished; another process may work on the others.
    """
    rates = {name: [*first] for name in names}
    while True:
        cells = rate_cells(rates, setting(RATE_SETTING))
        finished = run_cells(cells, overrides, dry=dry, at_once=at_once)
        lacking = {cell.method for cell in cells if cell not in finished}
        tried = [read_scores(cell, job) for cell, job in finished.items() if cell.method not in lacking]
        more = neighboring_rates(best_rates(tried), rates) if widen else {}
        if not more:
            return tried
        for name, some in more.items():
            rates[name] += some


def best_rates(scored: Sequence[ScoredRun]) -> dict[str, str]:
    """Returns method → learning rate with the lowest mean val/mae over seeds; the lower rate if equal."""
    rates: dict[str, str] = {}
    for method in dict.fromkeys(one.cell.method for one in scored):
        found = rate_table(scored, method)
        rates[method] = min(sorted(found, key=float), key=lambda rate: found[rate])
    return rates


def rate_table(scored: Sequence[ScoredRun], method: str) -> dict[str, float]:
    """Returns learning rate → mean val/mae over seeds, for one method."""
    found: dict[str, list[float]] = {}
    for one in scored:
        if one.cell.method == method:
            found.setdefault(one.cell.rate, []).append(one.stats["val/mae"])
    return {rate: float(np.mean(values)) for rate, values in found.items()}
