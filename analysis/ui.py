"""`python -m analysis.ui`: MLflow on a store of runs, with addresses of the pages that show the last sweep."""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.heat_maps import show_heat_maps
from analysis.views import Shown, links, share, views
from ordinalclip.command import run_command
from ordinalclip.errors import ConfigError
from ordinalclip.signatures import did_you_mean
from ordinalclip.tracking.client import client_of
from ordinalclip.tracking.store import Store

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
