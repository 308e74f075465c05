"""Which runs belong to which cell of a published table: by their settings, never by their names.

A cell's command is composed as `python -m ordinalclip.train` would. What has to agree is what tells the table's cells
apart (prompt, what is trained, subset); data, towers and schedule may be others, which is then told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from analysis.frame import build_frame
from analysis.groups import differing, shown
from analysis.record import flat
from ordinalclip.config.compose import composed, conf_dir
from ordinalclip.config.identity import REPEATS
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.metrics.ordinality import REFERENCE_RANKS, REFERENCE_SLICE
from ordinalclip.report.published import PublishedScore
from ordinalclip.runs.run import Run
from ordinalclip.scoring.ordinality import ordinality_of_run

_MISSING = object()
# Parts of a prompt that learn; a rate of any other part has no effect.
_PARTS = {"LinearPrompt": ("head",), "ContextPrompt": ("context", "rank"), "RankPrompt": ("context", "rank")}
# Settings whose values are the data's or the recipe's: what counts is whether they are null.
_NULL_OR_NOT = ("prompt.context",)
_NOT_TOLD_BY = ("prompt.name", "prompt.rank_names", "prompt.base_rank_names", "prompt.template", "prompt.sentences")


@dataclass(frozen=True)
class PublishedCell:
    """A published score and the settings of the runs that would repeat it.

    Attributes:
        score: as published.
        settings: `prompt.num_base_ranks` → value, as composed; empty for a method that is not built here.
        swept: settings that the command sweeps over: any value of them belongs to the cell.
    """

    score: PublishedScore
    settings: Mapping[str, Any]
    swept: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """What the cell's score is the mean over, each part counting once, such as categories."""
        return tuple(key for key in self.swept if key not in REPEATS)


def cells_of(scores: Sequence[PublishedScore]) -> list[PublishedCell]:
    """The cells of published scores, their commands composed."""
    return [PublishedCell(score, *_composed(score.command)) for score in scores]


def telling_keys(cells: Sequence[PublishedCell]) -> list[str]:
    """The settings that tell the cells of one table apart, those of the prompt and of what is trained and subsets."""
    keys = dict.fromkeys(key for cell in cells for key in cell.settings)
    return [key for key in keys if _may_tell(key) and _differs(key, cells)]


def setting_keys(cells: Sequence[PublishedCell], keys: Sequence[str]) -> list[str]:
    """Those of the telling keys that tell the settings of one method apart: the columns of a table, not its rows."""
    methods = {cell.score.method for cell in cells}
    return [key for key in keys if any(_differs(key, [c for c in cells if c.score.method == m]) for m in methods)]


def belongs(run: Mapping[str, Any], cell: PublishedCell, keys: Sequence[str], *, any_method: bool = False) -> bool:
    """Whether a run is one of a cell's.

    Args:
        run: a row of the table of runs.
        cell: of a published table.
        keys: of `telling_keys`, or of `setting_keys` where any method will do.
        any_method: whatever the run trains.
    """
    if not cell.settings:
        return False
    always = [key for key in cell.settings if key.startswith("subset.")]
    if not any_method:
        always += [key for key in cell.settings if _is_part(key, cell.settings)]
    checked = [key for key in {*keys, *always} if key not in REPEATS and key not in cell.swept]
    return all(_agrees(key, run.get(key), cell.settings.get(key, _MISSING), cell.settings) for key in checked)


def of_dataset(run: Mapping[str, Any], dataset: str) -> bool:
    """Whether a run is on a data set, read from the originals or from list files."""
    return run.get("dataset.name") in (dataset, f"{dataset}_lists")


def other_recipe(runs: pd.DataFrame, cell: PublishedCell) -> dict[str, tuple[str, str]]:
    """What runs do otherwise than the command of their cell: setting → their value, the command's."""
    settings = runs.iloc[0].to_dict()
    ours = {key: settings.get(key) for key in cell.settings}
    pair = build_frame(
        [({}, {k: None if _is_null(v) else _plain(v) for k, v in ours.items()}, {}), ({}, cell.settings, {})]
    )
    told = differing(pair, (*REPEATS, *cell.swept))
    return {key: (shown(pair[key].iloc[0]), shown(pair[key].iloc[1])) for key in told}


@lru_cache(maxsize=512)
def _composed(command: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    words = command.split()
    if not words:
        return {}, ()
    swept: list[str] = []
    for word in (word for word in words if word.startswith("sweep=")):
        text = (conf_dir() / "sweep" / f"{word.removeprefix('sweep=')}.yaml").read_text(encoding="utf-8")
        swept += yaml.safe_load(text)["hydra"]["sweeper"]["params"]
    return dict(flat(composed([word for word in words if not word.startswith("sweep=")]))), tuple(swept)


def _may_tell(key: str) -> bool:
    if key in _NOT_TOLD_BY:
        return False
    return key.startswith(("prompt.", "subset.")) or key in ("trainable.context", "trainable.rank", "trainable.head")


def _differs(key: str, cells: Sequence[PublishedCell]) -> bool:
    known = {_kind(key, cell.settings[key]) for cell in cells if key in cell.settings and _matters(key, cell.settings)}
    return len(known) > 1


def _is_part(key: str, settings: Mapping[str, Any]) -> bool:
    return key.startswith("trainable.") and _matters(key, settings)


def _matters(key: str, settings: Mapping[str, Any]) -> bool:
    """Whether a part's rate has an effect: the prompt has that part."""
    if not key.startswith("trainable."):
        return True
    prompt = str(settings.get("prompt._target_")).rpartition(".")[2]
    return key.removeprefix("trainable.") in _PARTS.get(prompt, ())


def _kind(key: str, value: Any) -> str:
    if key in _NULL_OR_NOT or key.startswith("trainable."):
        return "null" if _is_null(value) else "not null"
    return shown(_plain(value))


def _agrees(key: str, ours: Any, theirs: Any, settings: Mapping[str, Any]) -> bool:
    return theirs is _MISSING or not _matters(key, settings) or _kind(key, ours) == _kind(key, theirs)


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _plain(value: Any) -> Any:
    """A number as the other side of a comparison has it: 1 and 1.0 are one."""
    if _is_null(value):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


# MERGED: """What our runs score in a cell of a published table, in its unit."""


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


def scores_in_cell(runs: pd.DataFrame, cell: PublishedCell, where: str) -> Ours:
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


def _swept_values(cell: PublishedCell, part: str) -> set[str]:
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
