"""Views of a sweep in MLflow's pages: which columns, groups and charts; kept as tags of the experiment.

MLflow shows no score in its table of runs until somebody chooses columns. A shared view, which its own Share button
makes, is a tag `mlflow.sharedViewState.<key>` with the state of the page as JSON, and `viewStateShareKey=<key>` in an
address opens it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ordinalclip.repeats import REPEATS
from ordinalclip.tracking.copying import HEAT_MAP

_TAG = "mlflow.sharedViewState."
_SCORES = ("test/mae", "test/accuracy", "test/qwk", "ordinality")
_NAMES = ("dataset", "backbone", "prompt")
_MAX_COMPARED = 60  # runs in the comparison's address


@dataclass(frozen=True)
class Shown:
    """A run as the store has it.

    Attributes:
        mlflow_id: MLflow's own.
        params: of the run.
        metrics: names of its scores.
    """

    mlflow_id: str
    params: Mapping[str, str]
    metrics: Sequence[str]


def varied(runs: Sequence[Shown]) -> list[str]:
    """The parameters that tell the runs from each other, names of parts before their settings, at most six."""
    keys = {key for run in runs for key in run.params}
    differ = sorted(key for key in keys if len({run.params.get(key) for run in runs}) > 1)
    parts = [name for name in _NAMES if name in differ]
    # A part's settings and hashes follow from its name.
    rest = [key for key in differ if key not in parts and key.partition(".")[0] not in (*parts, "manifest")]
    return [*parts, *(key for key in rest if key not in REPEATS), *(key for key in REPEATS if key in rest)][:6]


def views(runs: Sequence[Shown], sweep: str | None) -> dict[str, dict[str, Any]]:
    """Name → state of the page: `table`, `groups` (means over seeds and folds) and `charts`.

    Args:
        runs: of the sweep, one at least.
        sweep: its name; None: all runs of the experiment.
    """
    choices = varied(runs)
    scores = [name for name in _SCORES if any(name in run.metrics for run in runs)]
    columns = [f"params.`{key}`" for key in choices] + [f"metrics.`{name}`" for name in scores]
    table: dict[str, Any] = {"selectedColumns": columns, "columnOrder": columns, "runsHiddenMode": "SHOW_ALL"}
    table |= {"searchFilter": "" if sweep is None else f"tags.`sweep.{sweep}` = 'true'"}
    if scores:
        table |= {"orderByKey": f"metrics.`{scores[0]}`", "orderByAsc": scores[0] == "test/mae"}
    groups = [{"mode": "param", "groupByData": key} for key in choices if key not in REPEATS]
    found = {"table": table}
    if groups:
        kept = [column for column in columns if column not in [f"params.`{key}`" for key in REPEATS]]
        by = {"groupBy": {"aggregateFunction": "average", "groupByKeys": groups}}
        found["groups"] = table | by | {"selectedColumns": kept, "columnOrder": kept}
    found["charts"] = table | _charts(runs, choices, scores)
    return found


def share(client: Any, experiment_id: str, states: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Keeps views as tags of an experiment; an equal view is kept once.

    Returns:
        Name of each view → its key.
    """
    keys = {}
    for name, state in states.items():
        text = json.dumps(state, sort_keys=True)
        keys[name] = hashlib.sha256(text.encode()).hexdigest()[:12]
        client.set_experiment_tag(experiment_id, _TAG + keys[name], text)
    return keys


def links(base: str, experiment_id: str, keys: Mapping[str, str], runs: Sequence[Shown]) -> dict[str, str]:
    """What it shows → its address below a server's.

    Without `workflowType` MLflow opens pages about language models, with nothing of ours.
    """
    page = f"{base}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    modes = {"table": "", "groups": "", "charts": "&compareRunsMode=CHART"}
    found = {name: f"{page}{modes[name]}&viewStateShareKey={key}" for name, key in keys.items()}
    if len(runs) > 1:
        ids = quote(json.dumps([run.mlflow_id for run in runs[:_MAX_COMPARED]], separators=(",", ":")))
        experiments = quote(json.dumps([experiment_id]))
        found["comparison"] = f"{base}/#/compare-runs?runs={ids}&experiments={experiments}"
        found["comparison"] += "&workflowType=machine_learning"
    return found


def _charts(runs: Sequence[Shown], choices: Sequence[str], scores: Sequence[str]) -> dict[str, Any]:
    logged = {name for run in runs for name in run.metrics}
    cards: list[dict[str, Any]] = []
    if choices and scores:
        cards.append({"type": "PARALLEL", "selectedParams": list(choices), "selectedMetrics": list(scores[:1])})
    cards += [{"type": "BAR", "metricKey": name} for name in ("test/mae", "ordinality") if name in logged]
    cards += [
        {"type": "LINE", "metricKey": name, "selectedMetricKeys": [name], "xAxisKey": "step", "yAxisKey": "metric"}
        | {"scaleType": "linear", "xAxisScaleType": "linear", "lineSmoothness": 0, "selectedXAxisMetricKey": ""}
        | {"yAxisExpressions": []}
        for name in ("val/mae", "ordinality", "train/loss")
        if name in logged
    ]
    cards = [card | {"metricSectionId": "scores"} for card in cards]
    heat_maps = {"type": "IMAGE", "imageKeys": [HEAT_MAP], "step": 0, "showRunParams": False}
    cards.append(heat_maps | {"metricSectionId": "heat_maps"})
    common = {"deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    section = {"display": True, "isReordered": True}
    return {
        "compareRunCharts": [card | common | {"uuid": f"ours{number}"} for number, card in enumerate(cards)],
        "compareRunSections": [
            {"uuid": "scores", "name": "scores", "columns": 3} | section,
            {"uuid": "heat_maps", "name": "similarity of the ranks", "columns": 1, "cardHeight": 440} | section,
        ],
        "isAccordionReordered": True,
    }
