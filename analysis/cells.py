"""Which runs belong to which cell of a published table: by their settings, never by their names.

A cell's command is composed as `python -m ordinalclip.train` would. What has to agree is what tells the table's cells
apart (prompt, what is trained, subset); data, towers and schedule may be others, which is then told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
import yaml

from analysis.frame import build_frame
from analysis.published import PublishedScore
from analysis.record import flat
from analysis.settings import differing, shown
from ordinalclip.command import composed
from ordinalclip.conf_dir import conf_dir
from ordinalclip.repeats import REPEATS

_MISSING = object()
# Parts of a prompt that learn; a rate of any other part has no effect.
_PARTS = {"LinearPrompt": ("head",), "ContextPrompt": ("context", "rank"), "RankPrompt": ("context", "rank")}
# Settings whose values are the data's or the recipe's: what counts is whether they are null.
_NULL_OR_NOT = ("prompt.context",)
_NOT_TOLD_BY = ("prompt.name", "prompt.rank_names", "prompt.base_rank_names", "prompt.template", "prompt.sentences")


@dataclass(frozen=True)
class Cell:
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


def cells_of(scores: Sequence[PublishedScore]) -> list[Cell]:
    """The cells of published scores, their commands composed."""
    return [Cell(score, *_composed(score.command)) for score in scores]


def telling_keys(cells: Sequence[Cell]) -> list[str]:
    """The settings that tell the cells of one table apart, those of the prompt and of what is trained and subsets."""
    keys = dict.fromkeys(key for cell in cells for key in cell.settings)
    return [key for key in keys if _may_tell(key) and _differs(key, cells)]


def setting_keys(cells: Sequence[Cell], keys: Sequence[str]) -> list[str]:
    """Those of the telling keys that tell the settings of one method apart: the columns of a table, not its rows."""
    methods = {cell.score.method for cell in cells}
    return [key for key in keys if any(_differs(key, [c for c in cells if c.score.method == m]) for m in methods)]


def belongs(run: Mapping[str, Any], cell: Cell, keys: Sequence[str], *, any_method: bool = False) -> bool:
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


def other_recipe(runs: pd.DataFrame, cell: Cell) -> dict[str, tuple[str, str]]:
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


def _differs(key: str, cells: Sequence[Cell]) -> bool:
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
