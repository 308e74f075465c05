"""report.html of a run: everything on the page comes from the run's record, and the file loads nothing else.

Order of the module: the file, its content, scores, settings that differ from the defaults in conf/, figures.
"""

import base64
import contextlib
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from PIL import Image

from ordinalclip.config.compose import conf_dir
from ordinalclip.config.identity import selection_metric
from ordinalclip.config.moved_names import current_names
from ordinalclip.report.figures.canvas import COLUMN, PAGE
from ordinalclip.report.gallery import SECTIONS
from ordinalclip.runs.run import Run

NAME = "report.html"
_PHOTOS = ("best_images", "worst_images")  # embedded as JPEG, a fifth of the size of PNG
_MAX_SVG_BYTES = 250_000  # a larger figure is embedded as PNG

# Score in test_stats.json, heading, the constant predictor's score, whether it is a percentage, meaning
_SCORES = (
    ("mae", "MAE, expectation", "mae", False, "mean distance from the true rank, in ranks; 0 is best"),
    ("mae_argmax", "MAE, most probable rank", "mae", False, "the same for the most probable rank"),
    ("mae_median", "MAE, median", "mae", False, "the same for the distribution's median"),
    (
        "mae_rounded_expectation",
        "MAE, rounded expectation",
        "mae",
        False,
        "the same for the rounded expectation",
    ),
    ("mae_value", "MAE in {unit}", "mae_value", False, "the expectation's mean distance in the data set's own unit"),
    ("amae", "macro MAE", None, False, "mean of the MAEs of all ranks: every rank has the same weight"),
    ("mmae", "worst rank's MAE", None, False, "the largest MAE of any rank"),
    ("accuracy", "accuracy", "accuracy", True, "share of images whose most probable rank is the true one"),
    ("accuracy_within_1", "within one rank", "accuracy_within_1", True, "share at most one rank off"),
    ("cs_5", "within 5 {unit}", None, True, "cumulative score: share at most 5 units off"),
    ("qwk", "QWK", "qwk", False, "quadratic weighted kappa: agreement beyond chance, 1 is perfect"),
    ("spearman", "Spearman", "spearman", False, "rank correlation of expectation and truth"),
    ("rps", "RPS", None, False, "ranked probability score of the whole distribution; 0 is best"),
    ("tce", "threshold calibration error", None, False, "distance of P(rank ≤ k) from its observed frequency"),
    (
        "aurc",
        "AURC",
        None,
        False,
        "area under the risk-coverage curve: MAE of the most certain images, mean over coverage",
    ),
)
GROUPS = ("dataset", "protocol", "backbone", "prompt", "loss", "optimizer", "schedule", "trainer")
_NOT_COMPARED = ("paths", "tracking", "name", "_target_", "hydra", "defaults", "rerun", "sweep_name", "tags")


def page(run: Run) -> str:
    """Renders the page of a run as one self-contained HTML document."""
    from jinja2 import Environment, StrictUndefined

    template = files("ordinalclip.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    return environment.from_string(template).render(page_content(run))


def write_page(run: Run) -> Path:
    """Writes the page atomically. It is not part of a run's result, so the run need not be claimed."""
    target = run.directory / NAME
    draft = target.with_name(f".{os.getpid()}-{NAME}")
    try:
        draft.write_text(page(run), encoding="utf-8")
        os.replace(draft, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return target


def page_content(run: Run) -> dict[str, Any]:
    """Returns the variables of the template; those that the record lacks are empty.

    Args:
        run: A run with a config.yaml.
    """
    cfg = current_names(yaml.safe_load((run.directory / "config.yaml").read_text(encoding="utf-8")))
    stats, details = (run.read_json(f"test_{name}.json") or {} for name in ("stats", "details"))
    ranks = run.read_json("ranks.json") or {}
    protocol = cfg["protocol"]
    return {
        "name": run.directory.name,
        "run_id": run.run_id,
        "state": run.state(),
        "status": run.status(),
        "typed": run.read_json("overrides.json") or [],
        "options": chosen_options(cfg),
        "changed": changed_settings(cfg),
        "data": _data(run, cfg, ranks),
        "readout": protocol["readout"],
        "selection": selection_metric(cfg)[0],
        "stamps": _stamps(run, protocol),
        "leakage": _leakage(run),
        "scores": score_rows(stats, details, readout=protocol["readout"], unit=ranks.get("unit", "")),
        "constant": _constant(stats, ranks.get("names", [])),
        "intervals": details.get("intervals") or {},
        "num_images": int(stats.get("test/num_images", 0)),
        "ordinality": _ordinality(run),
        "groups": _groups(details),
        "sections": _sections(run.directory / "figures"),
        "provenance": _provenance(run),
    }


def _data(run: Run, cfg: dict[str, Any], ranks: dict[str, Any]) -> dict[str, Any]:
    names = ranks.get("names", [])
    found: dict[str, Any] = {"name": cfg["dataset"]["name"], "unit": ranks.get("unit", ""), "num_ranks": len(names)}
    found["ranks"] = names if len(names) <= 12 else [*names[:3], "…", *names[-3:]]
    found["licence"], found["citation"] = cfg["dataset"].get("licence"), cfg["dataset"].get("citation")
    found["context"] = cfg["dataset"].get("context")
    found["splits"] = []
    table = run.directory / "manifest.parquet"
    if table.is_file():
        counts = pd.read_parquet(table, columns=["split"])["split"].value_counts()
        found["splits"] = [(str(split), int(count)) for split, count in counts.items()]
    subset = {key: value for key, value in (cfg.get("subset") or {}).items() if value is not None}
    found["subset"] = subset if set(subset) - {"seed", "shift_which", "label_noise_kernel"} else {}
    return found


def _stamps(run: Run, protocol: dict[str, Any]) -> list[str]:
    stamps = []
    if protocol["select_on"] == "test":
        stamps.append("selected on test: the epoch was chosen by these test scores, as in some published protocols")
    if run.state() != "finished":
        stamps.append(f"this run is not finished: {run.state()}")
    return stamps


def _leakage(run: Run) -> list[tuple[str, int, str]]:
    """Returns the kinds of leakage between splits that were checked: kind, number of test images, text."""
    rows = []
    for kind, found in (run.read_json("leakage.json") or {}).items():
        if not isinstance(found, dict):
            continue
        count = int(found.get("test_images", found.get("shared", 0)) or 0)
        text = "unknown for all images" if found.get("known", 0) == 0 else f"{count:,} test images"
        rate = found.get("test_rate")
        if rate and found.get("known", 0) > 0:
            text += f" ({rate:.1%})"
        rows.append((kind.replace("_", " "), count, text))
    return rows


def _provenance(run: Run) -> list[tuple[str, str]]:
    made = run.read_json("provenance.json") or {}
    status, code = run.status(), made.get("code", {})
    changed = " with changes" if code.get("dirty") else ""
    rows = [
        ("run id", run.run_id),
        ("started, ended", f"{status.get('created', '–')}, {status.get('updated', '–')}"),
        ("took", f"{status['seconds']:,.0f} s" if "seconds" in status else ""),
        ("epochs", str(status.get("epochs", ""))),
        ("code", f"{code.get('version', '')} {(code.get('git') or '')[:12]}{changed}".strip()),
        ("device, host", ", ".join(str(one) for one in (status.get("device"), made.get("host")) if one)),
        ("python", str(made.get("python", ""))),
        ("packages", ", ".join(f"{name} {version}" for name, version in made.get("packages", {}).items())),
        ("data", f"SHA-256 {made['manifest'][:16]}…" if "manifest" in made else ""),
        ("notes", "; ".join(made.get("notes", []))),
    ]
    return [(key, value) for key, value in rows if value]


def _groups(details: dict[str, Any]) -> list[dict[str, Any]]:
    found = details.get("groups") or {}
    rows = []
    for attribute, entry in (found.get("by") or {}).items():
        if entry.get("groups"):
            few = ", ".join(f"{one['name']} ({one['count']})" for one in entry.get("too_few", []))
            rows.append({"attribute": attribute, "groups": entry["groups"], "gap": entry.get("gap"), "too_few": few})
    return rows


@dataclass(frozen=True)
class ScoreRow:
    """A row of the table of scores, formatted."""

    heading: str
    value: str
    interval: str
    constant: str
    meaning: str
    primary: bool = False


def score_rows(
    stats: Mapping[str, Any], details: Mapping[str, Any], *, readout: str, unit: str, split: str = "test"
) -> list[ScoreRow]:
    """Returns a row for each score in `stats`, the declared readout's MAE first.

    Args:
        stats: Content of test_stats.json.
        details: Content of test_details.json, for the intervals; may be empty.
        readout: Readout declared by the protocol.
        unit: Unit of the ranks' values.
        split: Prefix of the names in `stats`.
    """
    primary = "mae" if readout == "expectation" else f"mae_{readout}"
    intervals = (details.get("intervals") or {}).get("scores", {})
    rows = []
    for name, heading, constant, percent, meaning in _SCORES:
        value = stats.get(f"{split}/{name}")
        if value is None:
            continue
        low, high = intervals.get(name) or (None, None)
        interval = "" if low is None or high is None else f"{_number(low, percent)} … {_number(high, percent)}"
        beside = stats.get(f"{split}/constant_{constant}")
        shown = heading.format(unit=unit or "units")
        rows.append(
            ScoreRow(
                shown, _number(value, percent), interval, _number(beside, percent), meaning, primary=name == primary
            )
        )
    return sorted(rows, key=lambda row: not row.primary)


def number(value: float | None, digits: int = 3) -> str:
    """Formats a number; a dash if it is None or not finite."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _number(value: float | None, percent: bool) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"


def _constant(stats: dict[str, Any], names: Sequence[str]) -> str:
    answers = []
    for kind in ("median", "majority"):
        rank = stats.get(f"test/constant_{kind}_rank")
        if rank is not None and int(rank) < len(names):
            answers.append(f"the training split's {kind} rank, {names[int(rank)]}")
    return "; ".join(answers)


def _ordinality(run: Run) -> list[dict[str, str]]:
    record = run.read_json("ordinality.json") or {}
    rows = []
    for key, chance, heading in (
        ("adjusted", "0.000", "adjusted: both directions, no diagonal; 1 is perfect order, 0 is chance"),
        ("kendall", "0.000", "Kendall's τ-b of distance and dissimilarity"),
        ("score", None, "the paper's score: one direction, diagonal counted"),
    ):
        stages = {stage: record.get(stage, {}) for stage in ("before", "best")}
        if not any(key in scores for scores in stages.values()):
            continue
        by_chance = chance or number(stages["best"].get("score_chance"))
        most = stages["best"].get("kendall_largest")
        if key == "kendall" and most == most and most:
            heading += f"; at most {most:.3f} here"
        cells = {stage: number(scores.get(key)) for stage, scores in stages.items()}
        rows.append({"heading": heading, "chance": by_chance} | cells)
    return rows


def chosen_options(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Returns group → the nearest option in conf/: same target, fewest differing keys."""
    return {group: found for group in GROUPS if (found := _nearest(group, cfg.get(group) or {})) is not None}


def changed_settings(cfg: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Returns key, value and default of the settings that differ from train.yaml and from the chosen options."""
    rows = list(_differences(cfg, _read(conf_dir() / "train.yaml"), cfg))
    for group, option in chosen_options(cfg).items():
        of_option = _option(conf_dir() / group / f"{option}.yaml", group)
        rows += [(f"{group}.{key}", value, default) for key, value, default in _differences(cfg[group], of_option, cfg)]
    return [(key, _shown(value), _shown(default)) for key, value, default in rows]


def _nearest(group: str, node: Mapping[str, Any]) -> str | None:
    options = {path.stem: _option(path, group) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    same = {name: option for name, option in options.items() if _target(option) == _target(node)}
    if node.get("name") in same:
        return str(node["name"])
    return min(same, key=lambda name: len(list(_differences(node, same[name], {}))), default=None)


def _target(node: Mapping[str, Any]) -> Any:
    split = node.get("split")  # a protocol has its target there; a data set's split is a string
    return node.get("_target_", split.get("_target_") if isinstance(split, Mapping) else None)


def _option(path: Path, group: str) -> dict[str, Any]:
    """Returns the keys of an option, those of its `defaults` included; of a global option, the keys of its group."""
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
        if key in _NOT_COMPARED or key not in now:
            continue
        if isinstance(default, dict) and isinstance(now[key], dict):
            yield from _differences(now[key], default, cfg, f"{prefix}{key}.")
        elif not _equal(now[key], _resolved(default, cfg)):
            yield f"{prefix}{key}", now[key], _resolved(default, cfg)


def _resolved(value: Any, cfg: Mapping[str, Any]) -> Any:
    """Resolves an interpolation such as `${lr}`."""
    if not (isinstance(value, str) and value.startswith("${") and value.endswith("}")):
        return value
    found: Any = cfg
    for part in value[2:-1].split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _equal(one: Any, other: Any) -> bool:
    if isinstance(other, str) and not isinstance(one, str):  # yaml reads 1e-3 as a string
        try:
            return float(one) == float(other)
        except (TypeError, ValueError):
            return False
    return bool(one == other)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sections(folder: Path) -> list[tuple[str, list[tuple[str, str, str, bool]]]]:
    """Returns section → its drawn figures: name, caption, image as a data URL, whether it is as wide as a page."""
    sections = []
    for title, captions in SECTIONS.items():
        urls = {name: url for name in captions if (url := _data_url(folder, name)) is not None}
        if urls:
            sections.append((title, [(name, captions[name], urls[name], _is_wide(folder, name)) for name in urls]))
    return sections


def _is_wide(folder: Path, name: str) -> bool:
    png = folder / f"{name}.png"
    if not png.is_file():
        return False
    with Image.open(png) as image:
        inches = image.width / image.info.get("dpi", (300, 300))[0]
    return bool(inches > (COLUMN + PAGE) / 2)


def _data_url(folder: Path, name: str) -> str | None:
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    if name in _PHOTOS and png.is_file():
        return _encoded("image/jpeg", _as_jpeg(png))
    if svg.is_file() and svg.stat().st_size < _MAX_SVG_BYTES:
        return _encoded("image/svg+xml", svg.read_bytes())
    return _encoded("image/png", png.read_bytes()) if png.is_file() else None


def _encoded(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _as_jpeg(png: Path) -> bytes:
    with Image.open(png) as image:
        draft = io.BytesIO()
        image.convert("RGB").save(draft, "JPEG", quality=82)
    return draft.getvalue()
