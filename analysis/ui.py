"""`python -m analysis.ui`: MLflow on a store of runs, with links to pages that show the newest sweep.

By default, MLflow's table of runs shows no metrics. A shared view, as made by MLflow's own Share button, is a tag
`mlflow.sharedViewState.<key>` of the experiment with the state of the page as JSON; `viewStateShareKey=<key>` in an
address opens it. Heat maps of the ranks' similarity are drawn here, since sweeps draw no figures.
"""

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
from ordinalclip.config.identity import REPEAT_KEYS
from ordinalclip.errors import ConfigError, did_you_mean
from ordinalclip.runs.run import Run
from ordinalclip.system.terminal import progress
from ordinalclip.tracking import CREATED_TAG
from ordinalclip.tracking.copying import HEAT_MAP, IMAGES_TAG
from ordinalclip.tracking.store import Store, client_of

log = logging.getLogger("ordinalclip")

MAX_HEAT_MAPS = 40  # drawn at each start, half a second each
_COPY_TIMEOUT_S = 10.0
_VIEW_TAG = "mlflow.sharedViewState."
_SCORES = ("test/mae", "test/accuracy", "test/qwk", "ordinality")
_PARTS = ("dataset", "backbone", "prompt")
_MAX_COMPARED = 60  # runs in the address of the comparison
_MAX_PARAMS = 6
_USAGE = """\
OrdinalCLIP starts MLflow on a store of runs, and prints the addresses of pages that show a sweep.

  python -m analysis.ui [store=runs/mlflow.db] [port=5000] [sweep=NAME] [experiment=ordinalclip]

  sweep   by default the one with the newest run"""
_PAGE_TITLES = {
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
    """Prints the addresses, then replaces this process by the server.

    Raises:
        ConfigError: for invalid settings.
    """
    typed = _DEFAULTS | dict(word.partition("=")[::2] for word in words)
    for key in typed.keys() - _DEFAULTS.keys():
        raise ConfigError(key, typed[key], "is unknown", allowed=", ".join(_DEFAULTS))
    if not typed["port"].isdecimal():
        raise ConfigError("port", typed["port"], "is not a port")
    file = Path(typed["store"])
    if not file.is_file():
        raise ConfigError("store", file, "there is no such store yet", remedy="the first run makes it (make train)")
    if _is_taken(int(typed["port"])):
        remedy = "port=… or make ui PORT=… names another; or look at what is there with a browser"
        raise ConfigError("port", typed["port"], "is taken, perhaps by a server like this one", remedy=remedy)
    base = f"http://127.0.0.1:{typed['port']}"
    store = Store(f"sqlite:///{file}", typed["experiment"])
    name, runs = newest_sweep(store, typed["sweep"] or None)
    add_heat_maps(store, runs)
    found = page_addresses(store, base, name, runs)
    print(f"MLflow  {base}   Ctrl-C ends it")
    if found:
        print(f"{'the sweep ' + name if name else 'all runs'}:")
    for page, address in found.items():
        print(f"  {_PAGE_TITLES[page]:30} {address}")
    sys.stdout.flush()
    # One worker and no job service: 2 processes and 0.5 GB instead of 15 and 3.1.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "-w", "1", "--backend-store-uri", f"sqlite:///{file}"]
    command += ["--host", "127.0.0.1", "--port", typed["port"]]
    os.execve(sys.executable, command, os.environ | settings | {"PYTHONWARNINGS": "ignore"})


def newest_sweep(store: Store, sweep: str | None = None) -> tuple[str | None, list[Any]]:
    """Returns the runs of a sweep in a store, newest first.

    Args:
        store: with the experiment.
        sweep: its name; None = the sweep with the newest run.

    Returns:
        The sweep's name and MLflow's runs; None and all runs if there is no sweep.

    Raises:
        ConfigError: if there is no such sweep or experiment.
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


def page_addresses(store: Store, base: str, sweep: str | None, runs: Sequence[Any]) -> dict[str, str]:
    """Saves views of a sweep in its store, and returns page → address.

    Args:
        store: of the runs.
        base: address of the server.
        sweep: its name; None = all runs of the experiment.
        runs: from `newest_sweep`; if empty, there are no pages.
    """
    if not runs:
        return {}
    client, experiment_id = store.open()
    shown = [StoredRun(run.info.run_id, run.data.params, list(run.data.metrics)) for run in reversed(runs)]
    found = page_links(base, experiment_id, save_views(client, experiment_id, build_views(shown, sweep)), shown)
    return found | ({"models": f"{base}/#/models"} if client.search_registered_models(max_results=1) else {})


def _is_taken(port: int) -> bool:
    """Whether a process on this machine listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _sweeps(run: Any) -> set[str]:
    return {tag.removeprefix("sweep.") for tag in run.data.tags if tag.startswith("sweep.")}


@dataclass(frozen=True)
class StoredRun:
    """A run in the store.

    Attributes:
        mlflow_id: MLflow's id of the run.
        params: MLflow's parameters.
        metrics: names of MLflow's metrics.
    """

    mlflow_id: str
    params: Mapping[str, str]
    metrics: Sequence[str]


def varied_params(runs: Sequence[StoredRun]) -> list[str]:
    """Returns the parameters that differ between runs, names of parts first, at most six."""
    keys = {key for run in runs for key in run.params}
    differ = sorted(key for key in keys if len({run.params.get(key) for run in runs}) > 1)
    parts = [name for name in _PARTS if name in differ]
    # The settings and hashes of a part are determined by its name.
    others = [key for key in differ if key not in parts and key.partition(".")[0] not in (*parts, "manifest")]
    seeds = [key for key in REPEAT_KEYS if key in others]
    return [*parts, *(key for key in others if key not in REPEAT_KEYS), *seeds][:_MAX_PARAMS]


def build_views(runs: Sequence[StoredRun], sweep: str | None) -> dict[str, dict[str, Any]]:
    """Returns view → state of the page, for the views `table`, `groups` (means over seeds and folds) and `charts`.

    Args:
        runs: of the sweep, at least one.
        sweep: its name; None = all runs of the experiment.
    """
    choices = varied_params(runs)
    scores = [name for name in _SCORES if any(name in run.metrics for run in runs)]
    columns = [f"params.`{key}`" for key in choices] + [f"metrics.`{name}`" for name in scores]
    table: dict[str, Any] = {"selectedColumns": columns, "columnOrder": columns, "runsHiddenMode": "SHOW_ALL"}
    table |= {"searchFilter": "" if sweep is None else f"tags.`sweep.{sweep}` = 'true'"}
    if scores:
        table |= {"orderByKey": f"metrics.`{scores[0]}`", "orderByAsc": scores[0] == "test/mae"}
    groups = [{"mode": "param", "groupByData": key} for key in choices if key not in REPEAT_KEYS]
    found = {"table": table}
    if groups:
        kept = [column for column in columns if column not in [f"params.`{key}`" for key in REPEAT_KEYS]]
        by = {"groupBy": {"aggregateFunction": "average", "groupByKeys": groups}}
        found["groups"] = table | by | {"selectedColumns": kept, "columnOrder": kept}
    found["charts"] = table | _charts(runs, choices, scores)
    return found


def save_views(client: Any, experiment_id: str, states: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Saves views as tags of an experiment, equal views once; returns view → key."""
    keys = {}
    for name, state in states.items():
        text = json.dumps(state, sort_keys=True)
        keys[name] = hashlib.sha256(text.encode()).hexdigest()[:12]
        client.set_experiment_tag(experiment_id, _VIEW_TAG + keys[name], text)
    return keys


def page_links(base: str, experiment_id: str, keys: Mapping[str, str], runs: Sequence[StoredRun]) -> dict[str, str]:
    """Returns page → address.

    Without `workflowType`, MLflow opens its pages about language models.
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


def _charts(runs: Sequence[StoredRun], choices: Sequence[str], scores: Sequence[str]) -> dict[str, Any]:
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


def add_heat_maps(store: Store, stored: Sequence[Any]) -> int:
    """Draws missing heat maps of runs on this machine, and copies them into the store.

    Args:
        store: of the runs.
        stored: MLflow's runs; those without a record on this machine are skipped.

    Returns:
        The number of new heat maps.
    """
    from ordinalclip.report.gallery import draw_figures
    from ordinalclip.tracking.copying import copy_run

    missing = [(run, one) for one in stored if (run := _run_without_map(one)) is not None][:MAX_HEAT_MAPS]
    done = 0
    bar = progress("drawing heat maps", len(missing), " runs")
    for run, one in missing:
        names = (run.read_json("ranks.json") or {}).get("names")
        if names and draw_figures(run, names, only=(HEAT_MAP,)):
            try:
                copy_run(store, run, one, patience_s=_COPY_TIMEOUT_S)
            except Exception as error:  # such as a store that a running sweep keeps locked; the pages work without
                log.warning("%s: no heat map in the store: %s", run.directory.name, str(error).partition("\n")[0])
                break
            done += 1
        bar.update(1)
    bar.close()
    return done


def _run_without_map(stored: Any) -> Run | None:
    """The run on this machine, if it is finished, has rank features, and has no heat map in the store."""
    tags = stored.data.tags
    run = Run(Path(tags.get("directory", "")))
    here = bool(tags.get("directory")) and run.status().get("created") == tags.get(CREATED_TAG)
    if not here or IMAGES_TAG in tags or run.state() != "finished":
        return None
    return run if (run.directory / "rank_features.safetensors").is_file() else None


if __name__ == "__main__":
    main()
