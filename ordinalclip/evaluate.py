"""`python -m ordinalclip.evaluate`: evaluates a finished run on its own data or another data set, or by more scores.

With `metrics=…` scores are computed from the recorded probabilities; no model is built and no image is read.
All words are checked before torch is imported.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from rich import box
from rich.console import Console
from rich.table import Table

from ordinalclip.cli.command import run_command
from ordinalclip.config.compose import compose_config, compose_defaults, plain_config, rename_runs
from ordinalclip.datasets.corruption import KINDS, SEVERITIES, corrupt_manifest
from ordinalclip.datasets.load import load_manifest
from ordinalclip.datasets.manifest import SPLITS, Manifest, match_ranks
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.inference.naming import RUN_SYNTAX, resolve_run
from ordinalclip.metrics.names import SCORES, THRESHOLD_SCORES, parse_score_names, threshold_of
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.reopen import Record, open_record, recorded_cfg
from ordinalclip.report.tables import ON_TEST, print_scores
from ordinalclip.runs.find import check_finished
from ordinalclip.scoring.predictions import Predictions, read_predictions

_SPLITS = ("test", "val", "calibration", "train", "all")
_OWN_KEYS = ("run", "split", "corruption", "severity")  # the other keys are keys of the configuration
_COMPUTE_KEYS = ("paths", "cache", "num_workers", "features", "trainer")  # taken from here, not from the record
_TABLE_KEYS = ("run", "metrics", "split", "paths.runs")
_RECORDED_SPLITS = ("test", "val", "calibration")
_MIN_TABLE_WIDTH = 96
_USAGE = """\
OrdinalCLIP opens a finished run and evaluates it, on its own data or on another data set with the same ranks.

  python -m ordinalclip.evaluate run=RUN [split=test] [dataset=… dataset.KEY=… protocol=…] [KEY=VALUE …]

  run         a run's directory, its name or id, mlflow:ID, or best:sweep=NAME,metric=val/mae
  split       test, val, calibration, train, or all of them together
  corruption  blur, noise, jpeg or resolution, with severity=1…5: the images are corrupted first
  dataset     another data set, with its keys and its protocol; by default the run's own. The readout is the one that
              the run declared (protocol.readout), unless another one is typed
  metrics     names such as amae,cs@5, or all: from the run's own predictions, without model or images
  other keys  dataset.KEY if the data have moved, backbone.weights, paths.KEY, num_workers, features.KEY, trainer=cpu

Scores are printed and written to RUN/evaluations/<data set>-<split>-<hash of the data>/. The run's own files are not
changed.

Examples
  python -m ordinalclip.evaluate run=runs/elpv-mini-rank-s0-0123456789
  python -m ordinalclip.evaluate run=0123456789 metrics=amae,qwk,cs@5
  python -m ordinalclip.evaluate run=0123456789 dataset=manifest dataset.path=other.csv split=all"""


def main() -> None:
    """Entry point."""
    run_command(evaluate, _USAGE)


def evaluate(words: Sequence[str]) -> dict[str, float]:
    """Evaluates a run, prints its scores and writes them below its directory.

    Args:
        words: words of the form key=value; `run=` is required.

    Returns:
        The scores, named `<split>/<score>`; with `metrics=` by their own names.

    Raises:
        ConfigError: a word cannot be used. Raised before torch is imported.
        DataError: the data cannot be used, or differ from the run's.
    """
    words = rename_runs(words)
    typed = dict(word.partition("=")[::2] for word in words)
    if "run" not in typed:
        raise ConfigError("run", "", "which run?", allowed=RUN_SYNTAX)
    if "metrics" in typed:
        return evaluate_table(typed)
    split = typed.get("split", "test")
    if split not in _SPLITS:
        raise ConfigError("split", split, "there is no such split", allowed=", ".join(_SPLITS))
    worse = _corruption(typed)
    other_data = "dataset" in typed
    changes = [word for word in words if word.partition("=")[0] not in _OWN_KEYS]
    of_record = [word for word in changes if _changes_record(word, typed)]
    here = compose_config([word for word in changes if word not in of_record])
    run = resolve_run(typed["run"], Path(here["paths"]["runs"]), here["tracking"])
    recorded = _changed(recorded_cfg(run), of_record)
    cfg = recorded | {key: here[key] for key in _COMPUTE_KEYS}
    if "features.precision" not in typed:  # it changes scores
        precision = recorded.get("features", {}).get("precision", "fp32")
        cfg["features"] = here["features"] | {"precision": precision}
    if other_data or "protocol" in typed:
        cfg["protocol"] = here["protocol"]
        if "protocol.readout" not in typed:  # how a rank is read off belongs to the run, which declared it
            cfg["protocol"]["readout"] = recorded["protocol"]["readout"]
    if other_data:
        cfg |= {"dataset": here["dataset"], "subset": here["subset"]}
    check(here | {group: cfg[group] for group in ("dataset", "protocol", "subset", "backbone") if group in cfg})
    record = open_record(run, cfg)
    manifest = _manifest(record, split, is_own=not other_data and "protocol" not in typed)
    if worse is not None:
        manifest = corrupt_manifest(manifest, *worse, split, Path(record.cfg["paths"]["cache"]))
    return _evaluate(record, manifest, split)


def _corruption(typed: Mapping[str, str]) -> tuple[str, int] | None:
    """Parses kind and severity of the corruption; returns None if there is none."""
    kind, severity = typed.get("corruption"), typed.get("severity")
    if kind is None:
        if severity is not None:
            raise ConfigError("severity", severity, "of what?", allowed=f"corruption={', '.join(KINDS)}")
        return None
    if kind not in KINDS:
        raise ConfigError("corruption", kind, "there is no such corruption", allowed=", ".join(KINDS))
    if severity is None or severity not in map(str, SEVERITIES):
        raise ConfigError("severity", severity, "is none", allowed=", ".join(map(str, SEVERITIES)))
    return kind, int(severity)


def _changes_record(word: str, typed: Mapping[str, str]) -> bool:
    """Returns whether a word changes one of the record's settings, not a choice or a setting of this computation."""
    key = word.partition("=")[0].lstrip("+~")
    group, _, rest = key.partition(".")
    if group in ("dataset", "protocol", "subset"):
        return rest != "" and group not in typed and "dataset" not in typed
    if key.startswith("backbone.weights"):
        return True
    if group not in _COMPUTE_KEYS:
        allowed = f"run, split, dataset, protocol, backbone.weights, {', '.join(_COMPUTE_KEYS)}"
        raise ConfigError(key, word.partition("=")[2], "belongs to the run and stays as it is", allowed=allowed)
    return False


def _changed(cfg: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Returns a recorded configuration with some values changed."""
    node = OmegaConf.create(cfg)
    for word in words:
        key, _, value = word.partition("=")
        parent, _, leaf = key.rpartition(".")
        keys = OmegaConf.select(node, parent)
        if not isinstance(keys, DictConfig) or leaf not in keys:
            allowed = ", ".join(map(str, keys)) if isinstance(keys, DictConfig) else f"{parent}=… as a whole"
            raise ConfigError(key, value, "the run has no such key", allowed=allowed)
        OmegaConf.update(node, key, yaml.safe_load(value))
    return plain_config(node)


def _manifest(record: Record, split: str, *, is_own: bool) -> Manifest:
    """Loads the data to evaluate on, with the ranks in the run's order.

    Raises:
        DataError: the run's own data have changed, or another data set has other ranks.
    """
    paths = record.cfg["paths"]
    manifest = load_manifest(
        record.cfg["dataset"],
        record.cfg["protocol"],
        record.cfg.get("subset"),
        data_dir=Path(paths["data"]),
        cache_dir=Path(paths["cache"]),
        needed=SPLITS if is_own else tuple({split} & {*SPLITS}),  # nothing is trained on other data
    )
    if is_own and manifest.content_hash != record.identity["manifest"]:
        raise DataError(
            f"{manifest.name}: the images, labels or splits are not those that the run was made with\n"
            "  what to do: name them as another data set: dataset=… dataset.KEY=… protocol=…"
        )
    return manifest if is_own else match_ranks(manifest, record.rank_names, record.rank_values)


def _evaluate(record: Record, manifest: Manifest, split: str) -> dict[str, float]:
    from ordinalclip.evaluation.reevaluation import evaluate_record, save_evaluation

    stats, predictions = evaluate_record(record, manifest, split)
    ordinality = record.run.read_json("ordinality.json") or {}
    on_test = (record.run.read_json("labels.json") or {}).get("selected_on") == "test"
    print_scores(manifest.name, split, stats, ordinality, manifest.rank_names, on_test=on_test)
    folder = save_evaluation(record, manifest, split, stats, predictions)
    print(f"written {folder}")
    return stats


def evaluate_table(typed: Mapping[str, str]) -> dict[str, float]:
    """Prints scores from a run's recorded predictions, with bootstrap intervals.

    Args:
        typed: `run`, `metrics` (names separated by commas, or "all"), and optionally `split` and `paths.runs`.

    Returns:
        Name of the score, without the split → value.

    Raises:
        ConfigError: a key or the name of a score is unknown.
        DataError: the record has no predictions of the split.
    """
    for key, value in typed.items():
        if key not in _TABLE_KEYS:
            problem = "does not go with metrics=, which computes from the run's own predictions"
            raise ConfigError(key, value, problem, allowed=", ".join(_TABLE_KEYS))
    split = typed.get("split", "test")
    if split not in _RECORDED_SPLITS:
        raise ConfigError("split", split, "has no predictions in a record", allowed=", ".join(_RECORDED_SPLITS))
    words = [word for word in typed["metrics"].strip("[]").replace(" ", "").split(",") if word]
    names = parse_score_names(words) if words else parse_score_names(["all"])
    here = compose_defaults(typed)
    run = resolve_run(typed["run"], Path(here["paths"]["runs"]), here["tracking"])
    check_finished(run, "run")
    predictions = read_predictions(run, split)

    from ordinalclip.scoring.scores import compute_scores, default_score_names, why_missing

    if "all" in words or not words:
        names = [
            name
            for name in dict.fromkeys([*names, *default_score_names(predictions)])
            if not why_missing(name, predictions)
        ]
    found = compute_scores(predictions, names)
    reasons = {name: why_missing(name, predictions) for name in names}
    _show(f"{run.directory.name}: {len(predictions):,} {split} images", predictions, found, reasons)
    if (run.read_json("labels.json") or {}).get("selected_on") == "test":
        print(ON_TEST)
    return found


def _show(title: str, predictions: Predictions, found: Mapping[str, float], reasons: Mapping[str, str]) -> None:
    from ordinalclip.scoring.intervals import score_intervals

    intervals: dict[str, Any] = score_intervals(predictions)
    table = Table("", "score", "95 % interval", "", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[1].justify = "right"
    for name, value in found.items():
        low, high = intervals["scores"].get(name, (math.nan, math.nan))
        ends = "" if math.isnan(low) else f"{low:.3f} … {high:.3f}"
        table.add_row(name, "–" if math.isnan(value) else f"{value:.4f}", ends, reasons[name] or _meaning(name))
    console = Console()
    console.width = max(console.width, _MIN_TABLE_WIDTH)
    console.print(title, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    console.out("\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines()), highlight=False)
    drawn = f"{intervals['draws']:,} draws of {intervals['num_groups']:,}"
    kind = "images" if predictions.family is None else "subjects, groups or blocks"
    unit = f"; unit: {predictions.unit}" if predictions.unit else ""
    console.print(f"readout: {predictions.readout}{unit}; intervals: bootstrap, {drawn} {kind}", highlight=False)


def _meaning(name: str) -> str:
    family, at = threshold_of(name)
    if name in SCORES or family is None:
        return SCORES[name]
    return THRESHOLD_SCORES[family].format(f"{at:g}")


if __name__ == "__main__":
    main()
