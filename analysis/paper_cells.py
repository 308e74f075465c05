"""The cells of the paper's tables: which runs belong to a cell, and their scores in its unit.

Runs are matched by their settings. A cell's command is composed as `python -m ordinalclip.train` does; a run has to
agree in the settings that distinguish the cells of the table (prompt, what is trained, subset). Data, towers and
schedule may differ; such differences are reported.
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
from analysis.groups import differing_settings, format_setting
from analysis.record import flatten
from ordinalclip.config.compose import compose_config, conf_dir
from ordinalclip.config.identity import REPEAT_KEYS
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.metrics.ordinality import REFERENCE_RANKS, REFERENCE_SLICE
from ordinalclip.report.published import PublishedScore
from ordinalclip.runs.run import Run
from ordinalclip.scoring.ordinality import ordinality_of_run

_MISSING = object()
_COLUMN_AND_FACTOR = {"mae": ("test/mae", 1.0), "accuracy_percent": ("test/accuracy", 100.0)}
# Trainable parts of each prompt; learning rates of other parts have no effect.
_PARTS_OF_PROMPT = {"LinearPrompt": ("head",), "ContextPrompt": ("context", "rank"), "RankPrompt": ("context", "rank")}
# Settings whose values depend on the data or the recipe: only whether they are null is compared.
_COMPARED_BY_NULL = ("prompt.context",)
_NOT_DISTINGUISHING = (
    "prompt.name",
    "prompt.rank_names",
    "prompt.base_rank_names",
    "prompt.template",
    "prompt.sentences",
)


@dataclass(frozen=True)
class PublishedCell:
    """A published score and the settings of the runs that reproduce it.

    Attributes:
        score: the published score.
        settings: flat composed settings; empty for a method that is not implemented here.
        swept: settings that the command sweeps over; runs with any value belong to the cell.
    """

    score: PublishedScore
    settings: Mapping[str, Any]
    swept: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """Settings that the cell's score is a mean over, such as categories."""
        return tuple(key for key in self.swept if key not in REPEAT_KEYS)


def published_cells(scores: Sequence[PublishedScore]) -> list[PublishedCell]:
    """Returns the cells of published scores, with composed commands."""
    return [PublishedCell(score, *_compose_command(score.command)) for score in scores]


def distinguishing_keys(cells: Sequence[PublishedCell]) -> list[str]:
    """Returns the settings of prompt, trained parts and subset that distinguish the cells of one table."""
    keys = dict.fromkeys(key for cell in cells for key in cell.settings)
    return [key for key in keys if _may_distinguish(key) and _differs(key, cells)]


def setting_keys(cells: Sequence[PublishedCell], keys: Sequence[str]) -> list[str]:
    """Returns the distinguishing keys that vary within a method: those of a table's columns, not of its rows."""
    methods = {cell.score.method for cell in cells}
    return [key for key in keys if any(_differs(key, [c for c in cells if c.score.method == m]) for m in methods)]


def matches_cell(run: Mapping[str, Any], cell: PublishedCell, keys: Sequence[str], *, any_method: bool = False) -> bool:
    """Whether a run belongs to a cell.

    Args:
        run: a row of the table of runs.
        cell: of a published table.
        keys: from `distinguishing_keys`, or from `setting_keys` with `any_method`.
        any_method: ignore which parts the run trains.
    """
    if not cell.settings:
        return False
    always = [key for key in cell.settings if key.startswith("subset.")]
    if not any_method:
        always += [key for key in cell.settings if _is_part(key, cell.settings)]
    checked = [key for key in {*keys, *always} if key not in REPEAT_KEYS and key not in cell.swept]
    return all(_agrees(key, run.get(key), cell.settings.get(key, _MISSING), cell.settings) for key in checked)


def is_on_dataset(run: Mapping[str, Any], dataset: str) -> bool:
    """Whether a run is on a data set, read from the original files or from list files."""
    return run.get("dataset.name") in (dataset, f"{dataset}_lists")


def recipe_differences(runs: pd.DataFrame, cell: PublishedCell) -> dict[str, tuple[str, str]]:
    """Returns setting → (value of the runs, value of the cell's command) for all settings that differ."""
    settings = runs.iloc[0].to_dict()
    ours = {key: _plain(settings.get(key)) for key in cell.settings}
    pair = build_frame([({}, ours, {}), ({}, cell.settings, {})])
    differing = differing_settings(pair, (*REPEAT_KEYS, *cell.swept))
    return {key: (format_setting(pair[key].iloc[0]), format_setting(pair[key].iloc[1])) for key in differing}


@lru_cache(maxsize=512)
def _compose_command(command: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    words = command.split()
    if not words:
        return {}, ()
    swept: list[str] = []
    for word in (word for word in words if word.startswith("sweep=")):
        text = (conf_dir() / "sweep" / f"{word.removeprefix('sweep=')}.yaml").read_text(encoding="utf-8")
        swept += yaml.safe_load(text)["hydra"]["sweeper"]["params"]
    return dict(flatten(compose_config([word for word in words if not word.startswith("sweep=")]))), tuple(swept)


def _may_distinguish(key: str) -> bool:
    if key in _NOT_DISTINGUISHING:
        return False
    return key.startswith(("prompt.", "subset.")) or key in ("trainable.context", "trainable.rank", "trainable.head")


def _differs(key: str, cells: Sequence[PublishedCell]) -> bool:
    values = {
        _comparable(key, cell.settings[key])
        for cell in cells
        if key in cell.settings and _has_effect(key, cell.settings)
    }
    return len(values) > 1


def _is_part(key: str, settings: Mapping[str, Any]) -> bool:
    return key.startswith("trainable.") and _has_effect(key, settings)


def _has_effect(key: str, settings: Mapping[str, Any]) -> bool:
    """False for the learning rate of a part that the prompt does not have."""
    if not key.startswith("trainable."):
        return True
    prompt = str(settings.get("prompt._target_")).rpartition(".")[2]
    return key.removeprefix("trainable.") in _PARTS_OF_PROMPT.get(prompt, ())


def _comparable(key: str, value: Any) -> str:
    if key in _COMPARED_BY_NULL or key.startswith("trainable."):
        return "null" if _is_null(value) else "not null"
    return format_setting(_plain(value))


def _agrees(key: str, ours: Any, theirs: Any, settings: Mapping[str, Any]) -> bool:
    if theirs is _MISSING or not _has_effect(key, settings):
        return True
    return _comparable(key, ours) == _comparable(key, theirs)


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _plain(value: Any) -> Any:
    """Converts NA to None, and whole floats to int, so that 1 equals 1.0."""
    if _is_null(value):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, eq=False)
class OurScores:
    """Our runs of a cell.

    Attributes:
        runs: finished runs with the same settings.
        scores: in the published unit, one per repetition; empty if parts are missing.
        note: what is missing, or "".
    """

    runs: pd.DataFrame
    scores: np.ndarray
    note: str = ""


def scores_in_cell(runs: pd.DataFrame, cell: PublishedCell, where: str) -> OurScores:
    """Returns the scores of a cell's finished runs, one per repetition.

    Args:
        runs: of the cell.
        cell: of a published table. If its score is a mean over parts, such as categories, only seeds with runs of all
            parts count.
        where: row and column, for the message.

    Raises:
        ConfigError: if the runs differ in more than seed, fold and part.
    """
    mixed = differing_settings(runs, (*REPEAT_KEYS, *cell.parts))
    if mixed:
        values = ", ".join(dict.fromkeys(format_setting(value) for value in runs[mixed[0]]))
        remedy = f"{mixed[0]}=… or sweep=… chooses among them"
        raise ConfigError("table", where, f"its runs differ in {mixed[0]} ({values})", remedy=remedy)
    scores = _scores_of(runs, cell.score.metric)
    runs, scores = runs[~np.isnan(scores)], scores[~np.isnan(scores)]
    if not cell.parts:
        return OurScores(runs, scores, "" if len(scores) else "its runs lack the score")
    (part,) = cell.parts
    expected = _swept_values(cell, part)
    table = pd.DataFrame({"seed": runs["seed"], "part": runs[part], "score": scores})
    whole = [seed["score"].mean() for _, seed in table.groupby("seed") if {*seed["part"]} >= expected]
    missing = ", ".join(sorted(expected - {*table["part"]}))
    return OurScores(runs, np.array(whole), "" if whole else f"a mean over {part}; there are no runs of {missing}")


def _swept_values(cell: PublishedCell, part: str) -> set[str]:
    (name,) = (word.removeprefix("sweep=") for word in cell.score.command.split() if word.startswith("sweep="))
    sweep = yaml.safe_load((conf_dir() / "sweep" / f"{name}.yaml").read_text(encoding="utf-8"))
    return set(str(sweep["hydra"]["sweeper"]["params"][part]).split(","))


def _scores_of(runs: pd.DataFrame, metric: str) -> np.ndarray:
    if metric == "ordinality_percent":
        return np.array([100 * _ordinality(Path(directory)) for directory in runs["directory"]])
    column, factor = _COLUMN_AND_FACTOR[metric]
    return factor * runs[column].to_numpy(float) if column in runs else np.full(len(runs), np.nan)


def _ordinality(directory: Path) -> float:
    """The paper's score at the best epoch, of the paper's slice of ranks if the number of ranks is the paper's."""
    try:
        scores = ordinality_of_run(Run(directory))
        if scores["num_ranks"].iloc[0] == REFERENCE_RANKS:
            scores = ordinality_of_run(Run(directory), REFERENCE_SLICE)
    except DataError:
        return float("nan")
    return float(scores.loc[scores["stage"] == "best", "score"].iloc[0])
