"""What our runs score in a cell of a published table, in its unit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from analysis.cells import Cell
from analysis.settings import differing, shown
from ordinalclip.conf_dir import conf_dir
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.metrics.ordinality import REFERENCE_RANKS, REFERENCE_SLICE
from ordinalclip.ordinality_record import ordinality_of_run
from ordinalclip.repeats import REPEATS
from ordinalclip.runs import Run

_SCORES = {"mae": ("test/mae", 1.0), "accuracy_percent": ("test/accuracy", 100.0)}


@dataclass(frozen=True, eq=False)
class Ours:
    """Our runs of a cell.

    Attributes:
        runs: finished ones, of one setting.
        scores: in the published unit, one a repetition; empty where parts are missing.
        note: what is missing.
    """

    runs: pd.DataFrame
    scores: np.ndarray
    note: str = ""


def scores_in_cell(runs: pd.DataFrame, cell: Cell, where: str) -> Ours:
    """What finished runs of one setting score, one score a repetition.

    Args:
        runs: of the cell.
        cell: of a published table. Where its score is a mean over parts, such as categories, a seed counts once it
            has runs of all of them.
        where: row and column, for the message.

    Raises:
        ConfigError: the runs differ in more than seed, fold and part.
    """
    mixed = differing(runs, (*REPEATS, *cell.parts))
    if mixed:
        values = ", ".join(dict.fromkeys(shown(value) for value in runs[mixed[0]]))
        remedy = f"{mixed[0]}=… or sweep=… chooses among them"
        raise ConfigError("table", where, f"its runs differ in {mixed[0]} ({values})", remedy=remedy)
    scores = _values(runs, cell.score.metric)
    runs, scores = runs[~np.isnan(scores)], scores[~np.isnan(scores)]
    if not cell.parts:
        return Ours(runs, scores, "" if len(scores) else "its runs lack the score")
    (part,) = cell.parts
    expected = _swept_values(cell, part)
    table = pd.DataFrame({"seed": runs["seed"], "part": runs[part], "score": scores})
    whole = [seed["score"].mean() for _, seed in table.groupby("seed") if {*seed["part"]} >= expected]
    missing = ", ".join(sorted(expected - {*table["part"]}))
    return Ours(runs, np.array(whole), "" if whole else f"a mean over {part}; there are no runs of {missing}")


def _swept_values(cell: Cell, part: str) -> set[str]:
    (name,) = (word.removeprefix("sweep=") for word in cell.score.command.split() if word.startswith("sweep="))
    sweep = yaml.safe_load((conf_dir() / "sweep" / f"{name}.yaml").read_text(encoding="utf-8"))
    return set(str(sweep["hydra"]["sweeper"]["params"][part]).split(","))


def _values(runs: pd.DataFrame, metric: str) -> np.ndarray:
    if metric == "ordinality_percent":
        return np.array([100 * _ordinality(Path(directory)) for directory in runs["directory"]])
    column, factor = _SCORES[metric]
    return factor * runs[column].to_numpy(float) if column in runs else np.full(len(runs), np.nan)


def _ordinality(directory: Path) -> float:
    """The paper's score at the best epoch, of its slice of the ranks where there are as many ranks as it has."""
    try:
        scores = ordinality_of_run(Run(directory))
        if scores["num_ranks"].iloc[0] == REFERENCE_RANKS:
            scores = ordinality_of_run(Run(directory), REFERENCE_SLICE)
    except DataError:
        return float("nan")
    return float(scores.loc[scores["stage"] == "best", "score"].iloc[0])
