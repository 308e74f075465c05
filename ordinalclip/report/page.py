"""report.html of a run: its content from the record, the captions of its figures, and the file."""

import base64
import contextlib
import io
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from PIL import Image

from ordinalclip.config.identity import selection_metric
from ordinalclip.config.moved_names import current_names
from ordinalclip.report.figures.canvas import COLUMN, PAGE
from ordinalclip.report.page_facts import changed_settings, chosen_options, number, told_scores
from ordinalclip.runs.run import Run

# Section → figure → caption.
SECTIONS = {
    "Errors": {
        "confusion": (
            "Of each true rank (rows), the share of images that was given each rank. Grey rows have no images."
        ),
        "rank_error": (
            "Error and bias (predicted less true) of each true rank, over its number of test images. Few "
            "images, little meaning. The dotted line is what a constant answer, the training median, would "
            "cost."
        ),
        "predicted": (
            "Predicted against true rank of every test image; the median and the band of 80 % of each true rank."
        ),
    },
    "How sure, and rightly?": {
        "reliability": (
            "Left: of the images for which rank ≤ k was predicted with some probability, the share for which it "
            "is true; colours are thresholds k, black is all of them. Right: the same of the most probable "
            "rank. On the diagonal is calibrated; below it, too sure. Bins of fewer than ten images are left "
            "out."
        ),
        "pit": (
            "Where the true rank lies in the predicted distribution. Flat is calibrated; high at both ends is "
            "too sure; high at the right end predicts too low."
        ),
        "risk_coverage": (
            "Error of the images that are kept when the least sure ones are set aside. Falling to the left is "
            "what a useful confidence does; dotted is the best any could."
        ),
        "samples": (
            "Predicted distributions of images across the scale: of each shown rank the image with its median error."
        ),
    },
    "Order of the ranks": {
        "similarity": (
            "Cosine similarity of the ranks' features. Ordered ranks show a bright diagonal that fades evenly."
        ),
        "similarity_softmax": "The softmax of each row of these similarities, as the paper shows them.",
        "violations": (
            "Left: steps away from a rank on which the similarity to it rises instead of falling. Right: for "
            "every two neighbours, the share of the other ranks that find them the wrong way round."
        ),
        "path": (
            "Rank features in the plane of their first two principal components, joined in the order of the ranks."
        ),
        "interpolation": "How much each learned base rank contributes to each rank; fixed, not learned.",
    },
    "Learning": {
        "learning": (
            "Loss, the score that the epoch is chosen by, and ordinality by epoch; epoch 0 is before training. "
            "The dashed line is the epoch that was kept."
        ),
    },
    "Images": {
        "best_images": "The test images with the smallest errors. Dashed: true rank; triangle: prediction.",
        "worst_images": (
            "The test images with the largest errors: look here for wrong labels and for what the model misses."
        ),
    },
}


_PHOTOS = ("best_images", "worst_images")  # as JPEG, which is a fifth of the size

NAME = "report.html"


def page_content(run: Run) -> dict[str, Any]:
    """Everything that the template shows; parts that the record lacks are empty.

    Args:
        run: a run with a config.yaml.
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
        "scores": told_scores(stats, details, readout=protocol["readout"], unit=ranks.get("unit", "")),
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
    """What was looked for in two splits at once: kind, test images concerned, words."""
    rows = []
    for kind, found in (run.read_json("leakage.json") or {}).items():
        if not isinstance(found, dict):
            continue
        count = int(found.get("test_images", found.get("shared", 0)) or 0)
        told = "not known of any image" if found.get("known", 0) == 0 else f"{count:,} test images"
        rate = found.get("test_rate")
        if rate and found.get("known", 0) > 0:
            told += f" ({rate:.1%})"
        rows.append((kind.replace("_", " "), count, told))
    return rows


def _constant(stats: dict[str, Any], names: Sequence[str]) -> str:
    told = []
    for kind in ("median", "majority"):
        rank = stats.get(f"test/constant_{kind}_rank")
        if rank is not None and int(rank) < len(names):
            told.append(f"the training split's {kind} rank, {names[int(rank)]}")
    return "; ".join(told)


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
        told = f"{heading}; at most {most:.3f} here" if key == "kendall" and most == most and most else heading
        cells = {stage: number(scores.get(key)) for stage, scores in stages.items()}
        rows.append({"heading": told, "chance": by_chance} | cells)
    return rows


def _groups(details: dict[str, Any]) -> list[dict[str, Any]]:
    found = details.get("groups") or {}
    rows = []
    for attribute, entry in (found.get("by") or {}).items():
        if entry.get("groups"):
            few = ", ".join(f"{one['name']} ({one['count']})" for one in entry.get("too_few", []))
            rows.append({"attribute": attribute, "groups": entry["groups"], "gap": entry.get("gap"), "too_few": few})
    return rows


def _sections(folder: Path) -> list[tuple[str, list[tuple[str, str, str, bool]]]]:
    """Section → figures: name, caption, image as a data URL, whether it is as wide as a page."""
    sections = []
    for title, figures in SECTIONS.items():
        there = [(name, told, _data_url(folder, name), _is_wide(folder, name)) for name, told in figures.items()]
        shown = [(name, told, url, wide) for name, told, url, wide in there if url is not None]
        if shown:
            sections.append((title, shown))
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
    if svg.is_file() and svg.stat().st_size < 250_000:
        return _encoded("image/svg+xml", svg.read_bytes())
    return _encoded("image/png", png.read_bytes()) if png.is_file() else None


def _encoded(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _as_jpeg(png: Path) -> bytes:
    with Image.open(png) as image:
        draft = io.BytesIO()
        image.convert("RGB").save(draft, "JPEG", quality=82)
    return draft.getvalue()


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


def page(run: Run) -> str:
    """The page of a run: HTML with everything in it, nothing is fetched when it is opened."""
    from jinja2 import Environment, StrictUndefined

    template = files("ordinalclip.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    return environment.from_string(template).render(page_content(run))


def write_page(run: Run) -> Path:
    """Writes the page, whole or not at all; it is no part of what a run's result is, so that no claim is needed."""
    target = run.directory / NAME
    draft = target.with_name(f".{os.getpid()}-{NAME}")
    try:
        draft.write_text(page(run), encoding="utf-8")
        os.replace(draft, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return target
