"""Finds the run that `run=` names: a directory, name or id, the best run of a sweep, or an MLflow id."""

from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError
from ordinalclip.runs.find import find_run, runs_of_sweep
from ordinalclip.runs.run import Run, find_runs

_LARGER_IS_BETTER = ("accuracy", "cs", "qwk", "spearman", "kendall", "unimodality")
RUN_SYNTAX = "a run's directory, name or id, mlflow:ID, best:sweep=NAME,metric=val/mae"


def resolve_run(words: str, root: Path, tracking: dict[str, Any]) -> Run:
    """Returns the run that `words` name.

    Args:
        words: see `RUN_SYNTAX`.
        root: the folder of the runs.
        tracking: the group `tracking`, which names the MLflow store.

    Raises:
        ConfigError: there is no such run.
    """
    kind, colon, rest = words.partition(":")
    if colon and kind == "best":
        return _best(rest, root)
    if colon and kind == "mlflow":
        return _of_mlflow(rest, root, tracking)
    return find_run(words, root, "run")


def _best(words: str, root: Path) -> Run:
    """The finished run of a sweep, or of all runs, with the best validation score; test scores are refused."""
    typed = dict(word.partition("=")[::2] for word in words.split(",") if word)
    asked, metric = f"best:{words}", typed.get("metric", "val/mae")
    unknown = sorted(set(typed) - {"sweep", "metric"})
    if unknown:
        raise ConfigError("run", asked, f"{unknown[0]} is no part of it", allowed=RUN_SYNTAX)
    split = metric.partition("/")[0]
    if split != "val":
        problem = f"a model is not chosen on {split}"
        raise ConfigError("run", asked, problem, allowed="metric=val/mae, val/qwk, …")
    runs = find_runs(root) if "sweep" not in typed else runs_of_sweep(typed["sweep"], root, "run", asked)
    scores = {run: (run.read_json("val_stats.json") or {}).get(metric) for run in runs if run.state() == "finished"}
    known = {run: score for run, score in scores.items() if isinstance(score, float) and score == score}
    if not known:
        raise ConfigError("run", asked, f"none of {len(runs)} runs is finished and has {metric}")
    sign = -1 if metric.removeprefix("val/").startswith(_LARGER_IS_BETTER) else 1
    return min(known, key=lambda run: (sign * known[run], run.directory.name))


def _of_mlflow(mlflow_id: str, root: Path, tracking: dict[str, Any]) -> Run:
    uri = tracking.get("uri")
    if uri is None:
        raise ConfigError("run", f"mlflow:{mlflow_id}", "no MLflow store is named", remedy="tracking=local or server")
    import mlflow

    from ordinalclip.tracking import RUN_ID_TAG

    try:
        tags = mlflow.MlflowClient(uri).get_run(mlflow_id).data.tags
    except mlflow.exceptions.MlflowException as error:
        raise ConfigError("run", f"mlflow:{mlflow_id}", f"is not in {uri}: {error}", allowed=RUN_SYNTAX) from None
    if RUN_ID_TAG not in tags:
        raise ConfigError("run", f"mlflow:{mlflow_id}", "is no run of this platform", allowed=RUN_SYNTAX)
    return find_run(tags[RUN_ID_TAG], root, "run")
