"""Facts on a report: scores beside the constant predictor's, and settings that differ from the defaults in conf/."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ordinalclip.config.compose import conf_dir

# name, heading, its constant's name, percent, what it means
_ROWS = (
    ("mae", "MAE, expectation", "mae", False, "mean distance from the true rank, in ranks; 0 is best"),
    ("mae_argmax", "MAE, most probable rank", "mae", False, "the same of the most probable rank"),
    ("mae_median", "MAE, median", "mae", False, "the same of the distribution's median"),
    (
        "mae_rounded_expectation",
        "MAE, rounded expectation",
        "mae",
        False,
        "the same of the expectation, rounded",
    ),
    ("mae_value", "MAE in {unit}", "mae_value", False, "the expectation's mean distance in the data set's own unit"),
    ("amae", "macro MAE", None, False, "the ranks' MAEs averaged: every rank counts the same, however rare"),
    ("mmae", "worst rank's MAE", None, False, "the largest MAE of any rank"),
    ("accuracy", "accuracy", "accuracy", True, "share of images whose most probable rank is the true one"),
    ("accuracy_within_1", "within one rank", "accuracy_within_1", True, "share at most one rank off"),
    ("cs_5", "within 5 {unit}", None, True, "cumulative score: share at most 5 units off"),
    ("qwk", "QWK", "qwk", False, "quadratic weighted kappa: agreement beyond chance, 1 is perfect"),
    ("spearman", "Spearman", "spearman", False, "rank correlation of expectation and truth"),
    ("rps", "RPS", None, False, "ranked probability score of the whole distribution; 0 is best"),
    ("tce", "threshold calibration error", None, False, "how far P(rank ≤ k) is from how often it is true"),
    ("aurc", "AURC", None, False, "area under risk–coverage: MAE when the surest are kept, averaged over how many"),
)
GROUPS = ("dataset", "protocol", "backbone", "prompt", "loss", "optimizer", "schedule", "trainer")
_HIDDEN = ("paths", "tracking", "name", "_target_", "hydra", "defaults", "rerun", "sweep_name", "tags")


@dataclass(frozen=True)
class Told:
    """A row of the table of scores: words, ready to be shown."""

    heading: str
    value: str
    interval: str
    constant: str
    meaning: str
    primary: bool = False


def told_scores(
    stats: Mapping[str, Any], details: Mapping[str, Any], *, readout: str, unit: str, split: str = "test"
) -> list[Told]:
    """Rows of the scores that are there, the declared readout's MAE first.

    Args:
        stats: content of test_stats.json.
        details: content of test_details.json, for the intervals; may be empty.
        readout: that the protocol declares.
        unit: of the ranks' values.
        split: the part before the slash of the names in `stats`.
    """
    primary = "mae" if readout == "expectation" else f"mae_{readout}"
    intervals = (details.get("intervals") or {}).get("scores", {})
    rows = []
    for name, heading, constant, percent, meaning in _ROWS:
        value = stats.get(f"{split}/{name}")
        if value is None:
            continue
        low, high = intervals.get(name) or (None, None)
        interval = "" if low is None or high is None else f"{_number(low, percent)} … {_number(high, percent)}"
        beside = stats.get(f"{split}/constant_{constant}")
        shown = heading.format(unit=unit or "units")
        rows.append(
            Told(shown, _number(value, percent), interval, _number(beside, percent), meaning, primary=name == primary)
        )
    return sorted(rows, key=lambda row: not row.primary)


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is shown, a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _number(value: float | None, percent: bool) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"


def chosen_options(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Group → the option in conf/ that a configuration comes nearest to: the same target, the fewest differing keys."""
    return {group: found for group in GROUPS if (found := _nearest(group, cfg.get(group) or {})) is not None}


def changed_settings(cfg: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Keys whose values are not those of the chosen options and of train.yaml: key, value, default; in order."""
    rows = []
    for key, value, default in _differences(cfg, _read(conf_dir() / "train.yaml"), cfg):
        rows.append((key, value, default))
    for group, option in chosen_options(cfg).items():
        of_option = _option(conf_dir() / group / f"{option}.yaml", group)
        rows += [(f"{group}.{key}", value, old) for key, value, old in _differences(cfg[group], of_option, cfg)]
    return [(key, _told(value), _told(default)) for key, value, default in rows]


def _nearest(group: str, node: Mapping[str, Any]) -> str | None:
    options = {path.stem: _option(path, group) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    same = {name: option for name, option in options.items() if _target(option) == _target(node)}
    if node.get("name") in same:
        return str(node["name"])
    return min(same, key=lambda name: len(list(_differences(node, same[name], {}))), default=None)


def _target(node: Mapping[str, Any]) -> Any:
    split = node.get("split")  # of a protocol, whose own target it is; a data set's is a word
    return node.get("_target_", split.get("_target_") if isinstance(split, Mapping) else None)


def _option(path: Path, group: str) -> dict[str, Any]:
    """An option's own keys over those of the options that it builds on; one for the whole tree has its group's."""
    content = _read(path)
    base: dict[str, Any] = {}
    for default in content.get("defaults", []):
        if isinstance(default, str) and default != "_self_" and (path.parent / f"{default}.yaml").is_file():
            base |= _option(path.parent / f"{default}.yaml", group)
    return base | (content[group] if isinstance(content.get(group), dict) else content)


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return content if isinstance(content, dict) else {}


def _differences(
    now: Mapping[str, Any], then: Mapping[str, Any], cfg: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for key, default in then.items():
        if key in _HIDDEN or key not in now:
            continue
        if isinstance(default, dict) and isinstance(now[key], dict):
            yield from _differences(now[key], default, cfg, f"{prefix}{key}.")
        elif not _equal(now[key], _followed(default, cfg)):
            yield f"{prefix}{key}", now[key], _followed(default, cfg)


def _followed(value: Any, cfg: Mapping[str, Any]) -> Any:
    """`${lr}` is what the configuration's `lr` is."""
    if not (isinstance(value, str) and value.startswith("${") and value.endswith("}")):
        return value
    found: Any = cfg
    for part in value[2:-1].split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _equal(one: Any, other: Any) -> bool:
    if isinstance(other, str) and not isinstance(one, str):  # yaml takes 1e-3 for a word
        try:
            return float(one) == float(other)
        except (TypeError, ValueError):
            return False
    return bool(one == other)


def _told(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return f"{value:g}" if isinstance(value, float) else str(value)
