"""Mean errors of subgroups: by every attribute of the data set, and by bands of ranks.

Groups of fewer than `MIN_COUNT` images are listed with their counts but not scored, since the worst of many small
groups is bad by chance. The error of the worst group is biased upwards even among large groups; see its interval.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ordinalclip.metrics.names import MIN_COUNT
from ordinalclip.scoring.intervals import clustered_standard_error
from ordinalclip.scoring.predictions import Predictions

MAX_GROUPS = 50  # of string attributes; more are file names rather than groups
MAX_NUMBERS = 12  # distinct numbers; if there are more, they are split into quartiles
NUM_BANDS = 5
BANDS = "rank band"
MISSING = "(not known)"


def rank_bands(predictions: Predictions) -> pd.Series:
    """The band of each image's true rank [N]: up to `NUM_BANDS` bands, of equally many ranks or one less."""
    names = list(predictions.rank_names)
    bands = np.array_split(np.arange(len(names)), min(NUM_BANDS, len(names)))
    labels = [names[band[0]] if len(band) == 1 else f"{names[band[0]]} … {names[band[-1]]}" for band in bands]
    band_of = np.repeat(np.arange(len(bands)), [len(band) for band in bands])
    return pd.Series(pd.Categorical(np.array(labels, dtype=object)[band_of[predictions.rank]], labels, ordered=True))


def groups_of(values: pd.Series) -> pd.Series | str:
    """The groups [N] of an attribute as an ordered categorical of strings, or the reason why there are none."""
    known = values.dropna()
    if known.empty:
        return "not known of any image"
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        if known.nunique() > MAX_NUMBERS:
            values = pd.qcut(values.astype(float), 4, duplicates="drop")
        order = sorted(values.dropna().unique())
        words = [f"{one:g}" if isinstance(one, int | float | np.number) else str(one) for one in order]
    else:
        order = sorted(known.unique(), key=str)
        words = [str(one) for one in order]
    if len(order) > MAX_GROUPS:
        return f"{len(order):,} different values, more than {MAX_GROUPS}"
    named = values.astype(object).map(dict(zip(order, words, strict=True)))
    return pd.Series(pd.Categorical(named.fillna(MISSING), [*dict.fromkeys([*words, MISSING])], ordered=True))


def subgroups(error: npt.NDArray[np.floating], predictions: Predictions) -> dict[str, Any]:
    """Mean errors of groups.

    Args:
        error: of each image [N].
        predictions: with their attributes.

    Returns:
        `min_count`; `by`: attribute (and "rank band") → `groups` (name, count, mae, low and high of a normal 95 %
        interval by `clustered_standard_error`), `too_few` (name, count), `gap` between its worst and its best group,
        or `left_out`, why it has no groups; `worst`: attribute, name, count, mae, low, high of the worst group of any
        attribute, None where there is none; `worst_band`: that of the rank bands, which are no attribute: extreme
        ranks are harder for any predictor.
    """
    by: dict[str, Any] = {BANDS: _scored(error, rank_bands(predictions), predictions)}
    for name, values in predictions.attributes.items():
        groups = groups_of(values)
        by[name] = {"left_out": groups} if isinstance(groups, str) else _scored(error, groups, predictions)
    attributes = {name: entry for name, entry in by.items() if name != BANDS}
    return {
        "min_count": MIN_COUNT,
        "by": by,
        "worst": _worst(attributes),
        "worst_band": _worst({BANDS: by[BANDS]}),
    }


def _scored(error: npt.NDArray[np.floating], groups: pd.Series, predictions: Predictions) -> dict[str, Any]:
    scored, too_few, means = [], [], []
    for name in groups.cat.categories:
        rows = np.flatnonzero((groups == name).to_numpy())
        count, values = len(rows), error[rows]
        if 0 < count < MIN_COUNT:
            too_few.append({"name": str(name), "count": count})
        if count < MIN_COUNT:
            continue
        family = None if predictions.family is None else predictions.family[rows]
        mean, spread = float(values.mean()), 1.96 * clustered_standard_error(values, family)
        means.append(mean)
        scored.append({"name": str(name), "count": count, "mae": mean, "low": mean - spread, "high": mean + spread})
    return {"groups": scored, "too_few": too_few, "gap": max(means) - min(means) if len(means) > 1 else None}


def _worst(by: dict[str, Any]) -> dict[str, Any] | None:
    found = [{"attribute": name} | one for name, entry in by.items() for one in entry.get("groups", [])]
    return max(found, key=lambda one: one["mae"], default=None)
