"""Which settings of runs matter to a comparison, and which of them differ."""

from collections.abc import Sequence

import pandas as pd

from analysis.frame import setting_columns
from ordinalclip.identity import cannot_change_results
from ordinalclip.repeats import REPEATS

# How a run was computed, where things lie, what they are called; for data and weights their hashes speak.
_NOT_COMPARED = (
    *(*cannot_change_results(), "trainer", "features.batch_size"),
    *("dataset.root", "dataset.path", "dataset.on_error", "dataset.licence", "dataset.citation", "dataset.photos"),
    *("backbone.weights", "backbone.tokenizer", "protocol.leakage"),
)
_TRAINER_COMPARED = ("precision", "gradient_clip_val", "accumulate_grad_batches", "limit_batches")


def compared(frame: pd.DataFrame) -> list[str]:
    """The settings that can change a result, names of groups' options first: those are what people call things by."""
    names = [
        name
        for name in setting_columns(frame)
        if name.removeprefix("trainer.") in _TRAINER_COMPARED
        or not any(name == no or name.startswith(f"{no}.") for no in _NOT_COMPARED)
    ]
    return sorted(names, key=lambda name: (not name.endswith(".name"), "." in name))


def differing(frame: pd.DataFrame, without: Sequence[str] = REPEATS) -> list[str]:
    """The settings whose values differ among these runs; those that follow from another that differs are left out.

    Args:
        frame: of the runs.
        without: settings that may differ.
    """
    varied = [name for name in compared(frame) if name not in without and _varies(frame[name])]
    groups = {name.partition(".")[0] for name in varied if name.endswith((".name", "._target_"))}
    kept = []
    for name in varied:
        group, _, key = name.partition(".")
        follows = (
            # another option of a group has other keys; `_target_` is said by the name
            (group in groups and key not in ("name", "_target_") and _is_missing_somewhere(frame[name]))
            or (key == "_target_" and f"{group}.name" in varied)
            or (group == "trainable" and "lr" in frame and _varies(frame["lr"]) and _is_lr(frame, name))
        )
        if not follows:
            kept.append(name)
    return kept


def _varies(column: pd.Series) -> bool:
    return len(column.drop_duplicates()) > 1


def _is_missing_somewhere(column: pd.Series) -> bool:
    return bool(column.isna().any())


def _is_lr(frame: pd.DataFrame, name: str) -> bool:
    """Whether a part's rate is `lr`, or frozen, in all of the runs alike."""
    rate = frame[name]
    return bool((rate.isna().all()) or (rate == frame["lr"]).all())


def minimal(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of the names, in their order, that split the runs further than the ones before them."""
    kept: list[str] = []
    parts = pd.Series(0, frame.index)
    for name in names:
        finer = frame.groupby([parts, frame[name]], dropna=False, sort=False).ngroup()
        if finer.nunique() > parts.nunique():
            kept.append(name)
            parts = finer
    return kept


def shown(value: object) -> str:
    """A setting as it is typed: null, true, 0.001."""
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
