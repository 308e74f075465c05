"""Results of benchmarks: sections of rows, the targets that they are compared with, and the page.

`docs/benchmarks.json` holds the sections by benchmark; `docs/benchmarks.md` is generated from it.
"""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, str | int | float | None]

PEAK = "share of the peak"  # name of a column
_TEXT = "it has 27 times fewer operations and drifts about that: what is left is products of matrices, as in naive"
_STEP = "of naive's step, too, nearly all is the image tower's, which has no shorter way"
_COPY = "nearly all of the time is MLflow's own work on each value"
INTRODUCTION = """# Benchmarks

Each row is a ratio against a naive mode of our own, measured in the same process, the two taking turns, medians of
several rounds, unless its section says otherwise. Seconds depend on the machine, ratios much less. Written by
`make bench`.
"""
_ABOUT_TARGETS = "What this project set out to reach, and whether the rows below say that it does."


@dataclass(frozen=True)
class Section:
    """Results of one benchmark.

    Attributes:
        title: Title of the section.
        text: Description of what was measured and how.
        rows: Rows of the table: column name → value, with the same columns in each row.
    """

    title: str
    text: str
    rows: list[Row]


class Target(NamedTuple):
    """A bound for a number in a row of a benchmark.

    Attributes:
        what: Description of the number.
        benchmark: Name of the benchmark.
        where: Columns and values that select the row.
        column: Column of the number.
        bound: Lower bound of the number, or upper bound if `at_most`.
        at_most: Whether small numbers are good.
        over: Columns and values of another row, by whose number it is divided.
        limit: Reason why the target is missed.
        best: Columns and values of the row with the best possible number.
    """

    what: str
    benchmark: str
    where: Mapping[str, str | int]
    column: str
    bound: float
    at_most: bool = False
    over: Mapping[str, str | int] | None = None
    limit: str = ""
    best: Mapping[str, str | int] | None = None

    def measured(self, sections: Mapping[str, Any]) -> float | None:
        """Returns the number; None if it has not been measured."""
        value = self._value(sections, self.where, self.column)
        if value is None or self.over is None:
            return value
        other = self._value(sections, self.over, self.column)
        return None if other is None else value / other

    def why_not(self, sections: Mapping[str, Any]) -> str:
        """Returns why the target is missed, with the measured numbers."""
        best = None if self.best is None else self._value(sections, self.best, self.column)
        share = self._value(sections, self.where, PEAK)
        reasons = [
            self.limit or "not known why",
            "" if best is None else f"with text for nothing it would be {best:.2g}",
            "" if share is None else f"the whole step runs at {share:.0%} of this machine's matrix peak",
        ]
        return "; ".join(filter(None, reasons))

    def _value(self, sections: Mapping[str, Any], where: Mapping[str, str | int], column: str) -> float | None:
        rows = sections.get(self.benchmark, {"rows": ()})["rows"]
        values = [row.get(column) for row in rows if all(row.get(name) == value for name, value in where.items())]
        return None if not values or values[0] is None else float(values[0])

    def met(self, value: float) -> bool:
        """Returns whether a number reaches the bound."""
        return value <= self.bound if self.at_most else value >= self.bound


def _text(what: str, column: str, bound: float) -> Target:
    return Target(
        f"text tower of ViT-B/16, 101 ranks: {what}", "text", _at(101, "text tower"), column, bound, limit=_TEXT
    )


def _at(num_ranks: int, model: str = "model") -> dict[str, str | int]:
    return {model: "ViT-B-16", "ranks": num_ranks}


def _targets() -> Iterator[Target]:
    yield _text("forward and backward, times faster", "times faster than naive", 26)
    yield _text("activations, times less memory", "times less memory", 15)
    for model in ("ViT-B-16", "RN50", "ViT-L-14"):
        where, over = ({"text tower": model, "ranks": ranks} for ranks in (1024, 512))
        what = f"text tower of {model}: time of 1,024 ranks over that of 512"
        yield Target(what, "text", where, "ours, ms", 2.2, at_most=True, over=over)
    for ranks in (101, 5):
        yield Target(f"prompt-only epoch, {ranks} ranks: times faster", "epoch", _at(ranks), "times faster", 40)
    for ranks in (101, 5):
        for ours, bound in (("float32", 1.5), ("bfloat16", 2.5)):
            what = f"fine-tuning step, {ranks} ranks, {ours}: times faster"
            where, best = ({**_at(ranks), "ours": way} for way in (ours, f"{ours}, without text"))
            yield Target(what, "finetune", where, "times faster", bound, limit=_STEP, best=best)
    for files in ("300 × 300 png", "1000 × 1000 jpg"):
        yield Target(f"warm data path, {files}: times faster", "images", {"files": files}, "times faster", 10)
    for what, seconds in (
        ("--help", 1),
        ("a refused key of ours", 1),
        ("a refused argument of a foreign class", 8),
        ("first step", 10),
    ):
        yield Target(f"start, {what}: seconds", "startup", {"what": what}, "ours, s", seconds, at_most=True)
    beyond = "beyond training, s a run"
    yield Target("one more run of a sweep, beyond training: seconds", "sweep", {}, beyond, 1, at_most=True)
    for epochs in (20, 50):
        what = f"1000 runs of {epochs} epochs copied"
        named = f"MLflow, {what}: seconds"
        yield Target(named, "tracking", {"what": what}, "seconds", 120, at_most=True, limit=_COPY)
    share = "training waits, %"
    yield Target("MLflow, training waits for it: % of an epoch", "tracking", {}, share, 1, at_most=True)


TARGETS = tuple(_targets())


def target_rows(sections: Mapping[str, Any]) -> list[Row]:
    """Returns one row per target, from the sections of `benchmarks.json`."""
    rows: list[Row] = []
    for target in TARGETS:
        value = target.measured(sections)
        met = "not measured" if value is None else "yes" if target.met(value) else "no"
        wanted = f"{'at most' if target.at_most else 'at least'} {target.bound:g}"
        rows.append({"what": target.what, "wanted": wanted, "measured": value, "reached": met})
    return rows


def limits(sections: Mapping[str, Any]) -> list[str]:
    """Returns a line for each missed target: the number and the reason."""
    lines = []
    for target in TARGETS:
        value = target.measured(sections)
        if value is not None and not target.met(value):
            lines.append(f"- {target.what} is {value:.2g}, not {target.bound:g}: {target.why_not(sections)}.")
    return lines


def update_page(folder: Path, name: str, section: Section) -> None:
    """Replaces one section of `benchmarks.json`, keeps the others, and rewrites `benchmarks.md`.

    Args:
        folder: Folder of both files, created if it is missing.
        name: Name of the benchmark.
        section: Its results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "benchmarks.json"
    sections: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    sections[name] = asdict(section) | {"machine": describe_machine()}
    sections = {name: sections[name] for name in sorted(sections)}  # the columns of a row keep their order
    file.write_text(json.dumps(sections, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "benchmarks.md").write_text(page(sections), encoding="utf-8")


def page(sections: Mapping[str, Any]) -> str:
    """Renders the page of the sections of `benchmarks.json`: targets, then each benchmark."""
    missed = limits(sections)
    targets = [
        "## Targets",
        "",
        _ABOUT_TARGETS,
        "",
        *_table(target_rows(sections)),
        "",
        *missed,
        *([""] if missed else []),
    ]
    return "\n".join([INTRODUCTION, *targets, *(markdown(sections[name]) for name in sorted(sections))])


def describe_machine() -> dict[str, str | int]:
    """Returns processor, cores, threads and versions, on which seconds depend."""
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
    """Renders a section as Markdown: title, text, table, machine."""
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
