"""Heat maps of the ranks' similarity in MLflow: drawn and put there when somebody looks, since sweeps draw nothing."""

import hashlib
import json
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ordinalclip.cli.command import run_command
from ordinalclip.config.identity import REPEATS
from ordinalclip.config.signatures import did_you_mean
from ordinalclip.errors import ConfigError
from ordinalclip.report.gallery import draw_figures
from ordinalclip.runs.run import Run
from ordinalclip.system.terminal import progress
from ordinalclip.tracking import CREATED_TAG
from ordinalclip.tracking.copying import HEAT_MAP, IMAGES_TAG, copy_run
from ordinalclip.tracking.store import Store, client_of

log = logging.getLogger("ordinalclip")

_PATIENCE_S = 10.0
MOST = 40  # runs whose maps are drawn at once, half a second each; more cannot be looked at side by side


def show_heat_maps(store: Store, shown: Sequence[Any]) -> int:
    """Draws what is missing from runs' records on this machine, and copies it into the store.

    Args:
        store: that shows the runs.
        shown: finished or unfinished runs as the store has them; those whose record lies elsewhere are passed over.

    Returns:
        How many runs were given a map.
    """
    missing = [(run, one) for one in shown if (run := _recorded(one)) is not None]
    done = 0
    bar = progress("drawing heat maps", len(missing[:MOST]), " runs")
    for run, one in missing[:MOST]:
        names = (run.read_json("ranks.json") or {}).get("names")
        if names and draw_figures(run, names, only=(HEAT_MAP,)):
            try:
                copy_run(store, run, one, patience_s=_PATIENCE_S)
            except Exception as error:  # the pages show the rest; a sweep at work may be writing all the time
                log.warning("%s: no heat map in the store: %s", run.directory.name, str(error).partition("\n")[0])
                break
            done += 1
        bar.update(1)
    bar.close()
    return done


def _recorded(shown: Any) -> Run | None:
    """The record of a finished run that has rank features and no map in the store yet."""
    tags = shown.data.tags
    run = Run(Path(tags.get("directory", "")))
    here = bool(tags.get("directory")) and run.status().get("created") == tags.get(CREATED_TAG)
    if not here or IMAGES_TAG in tags or run.state() != "finished":
        return None
    return run if (run.directory / "rank_features.safetensors").is_file() else None


# MERGED: """Views of a sweep in MLflow's pages: which columns, groups and charts; kept as tags of the experiment.
#
# MLflow shows no score in its table of runs until somebody chooses columns. A shared view, which its own Share button
# makes, is a tag `mlflow.sharedViewState.<key>` with the state of the page as JSON, and `viewStateShareKey=<key>` in an
# address opens it.
# """


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


# MERGED: """`python -m analysis.ui`: MLflow on a store of runs, with addresses of the pages that show the last sweep."""


_USAGE = """\
OrdinalCLIP starts MLflow on a store of runs, and prints the addresses of pages that show a sweep.

  python -m analysis.ui [store=runs/mlflow.db] [port=5000] [sweep=NAME] [experiment=ordinalclip]

  sweep   which; by default the one whose runs are the newest"""
_WORDS = {
    "groups": "means over seeds and folds",
    "table": "runs",
    "charts": "charts, and how order emerges",
    "comparison": "comparison",
    "models": "registered models",
}
_DEFAULTS = {"store": "runs/mlflow.db", "port": "5000", "sweep": "", "experiment": "ordinalclip"}


def main() -> None:
    """Entry point."""
    run_command(start, _USAGE, needs_words=False)


def start(words: Sequence[str]) -> None:
    """Prints addresses, then becomes the server.

    Raises:
        ConfigError: for what cannot be used.
    """
    typed = _DEFAULTS | dict(word.partition("=")[::2] for word in words)
    for key in typed.keys() - _DEFAULTS.keys():
        raise ConfigError(key, typed[key], "is unknown", allowed=", ".join(_DEFAULTS))
    if not typed["port"].isdecimal():
        raise ConfigError("port", typed["port"], "is no port")
    file = Path(typed["store"])
    if not file.is_file():
        raise ConfigError("store", file, "there is no such store yet", remedy="the first run makes it (make train)")
    if _is_taken(int(typed["port"])):
        remedy = "port=… or make ui PORT=… names another; or look at what is there with a browser"
        raise ConfigError("port", typed["port"], "is taken, perhaps by a server like this one", remedy=remedy)
    base = f"http://127.0.0.1:{typed['port']}"
    store = Store(f"sqlite:///{file}", typed["experiment"])
    name, shown = newest_sweep(store, typed["sweep"] or None)
    show_heat_maps(store, shown)
    found = addresses(store, base, name, shown)
    print(f"MLflow  {base}   Ctrl-C ends it")
    if found:
        print(f"{'the sweep ' + name if name else 'all runs'}:")
    for what, address in found.items():
        print(f"  {_WORDS[what]:30} {address}")
    sys.stdout.flush()
    # One worker and no job service: 2 processes and 0.5 GB, in place of 15 and 3.1.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "-w", "1", "--backend-store-uri", f"sqlite:///{file}"]
    command += ["--host", "127.0.0.1", "--port", typed["port"]]
    os.execve(sys.executable, command, os.environ | settings | {"PYTHONWARNINGS": "ignore"})


def newest_sweep(store: Store, sweep: str | None = None) -> tuple[str | None, list[Any]]:
    """The runs of a sweep as a store has them, newest first.

    Args:
        store: with the experiment.
        sweep: which; None: the one that the newest run of any belongs to.

    Returns:
        The sweep's name, None for all runs where there is no sweep; and its runs.

    Raises:
        ConfigError: there is no such sweep, or no such experiment.
    """
    client = client_of(store.uri)
    found = client.get_experiment_by_name(store.experiment)
    if found is None:
        raise ConfigError("experiment", store.experiment, "is not in the store")
    runs = list(client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"]))
    newest = (name for run in runs for name in sorted(_sweeps(run)))
    chosen = next(newest, None) if sweep is None else sweep
    of_sweep = runs if chosen is None else [run for run in runs if chosen in _sweeps(run)]
    if sweep is not None and not of_sweep:
        names = sorted({name for run in runs for name in _sweeps(run)})
        remedy = did_you_mean(sweep, names)
        raise ConfigError("sweep", sweep, "has no run in the store", allowed=", ".join(names), remedy=remedy)
    return chosen, of_sweep


def addresses(store: Store, base: str, sweep: str | None, runs: Sequence[Any]) -> dict[str, str]:
    """Makes views of a sweep in a store.

    Args:
        store: that holds it.
        base: address of the server that shows it.
        sweep: its name; None: all runs of the experiment.
        runs: of `newest_sweep`.

    Returns:
        What a page shows → its address; nothing where there are no runs.
    """
    if not runs:
        return {}
    client, experiment_id = store.open()
    shown = [Shown(run.info.run_id, run.data.params, list(run.data.metrics)) for run in reversed(runs)]
    found = links(base, experiment_id, share(client, experiment_id, views(shown, sweep)), shown)
    return found | ({"models": f"{base}/#/models"} if client.search_registered_models(max_results=1) else {})


def _is_taken(port: int) -> bool:
    """Whether something on this machine answers at a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _sweeps(run: Any) -> set[str]:
    return {tag.removeprefix("sweep.") for tag in run.data.tags if tag.startswith("sweep.")}


if __name__ == "__main__":
    main()
