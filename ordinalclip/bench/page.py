"""The benchmarks' page: sections of tables in a JSON file, and Markdown written from it."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ordinalclip.bench.section import Row, Section
from ordinalclip.bench.targets import limits, target_rows

INTRODUCTION = """# Benchmarks

Each row is a ratio against a naive mode of our own, measured in the same process, the two taking turns, medians of
several rounds, unless its section says otherwise. Seconds depend on the machine, ratios much less. Written by
`make bench`.
"""
TARGETS = "What this project set out to reach, and whether the rows below say that it does."


def update_page(folder: Path, name: str, section: Section) -> None:
    """Replace one section of `benchmarks.json` and write `benchmarks.md` anew; other sections stay.

    Args:
        folder: where both files are; made if it is missing.
        name: of the benchmark.
        section: what it found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "benchmarks.json"
    sections: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    sections[name] = asdict(section) | {"machine": describe_machine()}
    sections = {name: sections[name] for name in sorted(sections)}  # the columns of a row keep their order
    file.write_text(json.dumps(sections, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "benchmarks.md").write_text(page(sections), encoding="utf-8")


def page(sections: Mapping[str, Any]) -> str:
    """The whole page of what `benchmarks.json` holds: targets, then each benchmark."""
    missed = limits(sections)
    targets = ["## Targets", "", TARGETS, "", *_table(target_rows(sections)), "", *missed, *([""] if missed else [])]
    return "\n".join([INTRODUCTION, *targets, *(markdown(sections[name]) for name in sorted(sections))])


def describe_machine() -> dict[str, str | int]:
    """What seconds depend on: processor, cores, threads and the versions of what computes."""
    import torch

    gpu: dict[str, str | int] = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return gpu | {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "open_clip": version("open_clip_torch"),
    }


def markdown(section: dict[str, Any]) -> str:
    """A section as Markdown: title, text, table, machine."""
    lines = [f"## {section['title']}", "", section["text"], "", *_table(section["rows"])]
    facts = section["machine"]
    gpu = f"{facts['gpu']}; " if "gpu" in facts else ""
    lines += [
        "",
        f"{gpu}{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads; Python {facts['python']},",
    ]
    lines += [f"torch {facts['torch']}, open_clip {facts['open_clip']}.", ""]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return lines + [f"| {' | '.join(_cell(row[column]) for column in columns)} |" for row in rows]


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "—"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
