"""The page: its tables as Markdown, which replace the sections between marks and keep the text around them.

A section starts with a line `<!-- numbers: NAME -->` and ends with `<!-- /numbers -->`. A table cell without runs is a
dash.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.estimates import Estimate
from analysis.evidence.plan import VARIANT_SEEDS, VARIANTS, Method, Setting, method
from analysis.evidence.runs import Choice, rate_table
from analysis.evidence.scores import RunGroups, ScoredRun, error_difference, mean_of, verdict

# Differences a - b: the paper's claims, then the controls.
COMPARISONS = (
    ("rank", "linear"),
    ("rank", "context"),
    ("context", "linear"),
    ("rank", "rank_untrained"),
    ("context", "context_untrained"),
    ("rank", "interpolated"),
    ("rank_untrained", "interpolated"),
    ("interpolated", "linear"),
)
_NO_RUNS = "–"
_CLAIMS = (("rank", "linear"), ("rank", "context"))
_CONTROLS = (
    *(("rank", "rank_untrained"), ("context", "context_untrained")),
    *(("rank", "interpolated"), ("rank_untrained", "interpolated")),
)
_END = "<!-- /numbers -->"
_SECTION = re.compile(r"^<!-- numbers: (?P<name>[\w ]+) -->\n.*?^<!-- /numbers -->$", re.MULTILINE | re.DOTALL)


def write_page(path: Path, sections: Mapping[str, str], template: str) -> None:
    """Replaces the sections of the page.

    Args:
        path: of the page.
        sections: name → Markdown; names without a mark in the page are ignored.
        template: content of a new page.
    """
    page = path.read_text(encoding="utf-8") if path.exists() else template
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(filled(page, sections), encoding="utf-8")


def filled(page: str, sections: Mapping[str, str]) -> str:
    """Returns the page with its sections replaced; marks without a new section are kept."""

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in sections:
            return found[0]
        return f"<!-- numbers: {name} -->\n{sections[name]}\n{_END}"

    return _SECTION.sub(replace, page)


def empty_template(names: Mapping[str, str]) -> str:
    """Returns a page with headings and empty sections.

    Args:
        names: section → heading.
    """
    parts = ["# Evidence", ""]
    for name, heading in names.items():
        parts += [f"## {heading}", "", f"<!-- numbers: {name} -->", _END, ""]
    return "\n".join(parts)


def sections(
    choice: Choice,
    groups: RunGroups,
    methods: Sequence[Method],
    settings: Sequence[Setting],
    *,
    planned: int,
) -> dict[str, str]:
    """Returns section → Markdown.

    Args:
        choice: of learning rates.
        groups: the finished runs.
        methods: the compared methods.
        settings: the settings that they are compared in.
        planned: number of planned runs.
    """
    varied = [one for one in settings if any(variant and one.name == place for variant, place, _ in groups)]
    found = {
        "setup": _setup(len(choice.tried) + len(choice.proved), groups, settings, planned),
        "rates": rates_table(choice),
        "verdicts": verdicts(groups, _CLAIMS, settings),
        "controls": verdicts(groups, _CONTROLS, settings),
        "errors": error_table(groups, methods, settings, "mae"),
        "argmax": error_table(groups, methods, settings, "mae_argmax"),
        "differences": difference_table(groups, methods, settings, "mae"),
        "argmax differences": difference_table(groups, methods, settings, "mae_argmax"),
        "ordinality": ordinality_table(groups, methods, settings),
    }
    if varied:
        found["variants"] = "\n\n".join(variants_table(groups, methods, place, VARIANT_SEEDS) for place in varied)
    return found


def _setup(tried: int, groups: RunGroups, settings: Sequence[Setting], planned: int) -> str:
    """The number of runs and images."""
    runs = {place: run for (_, place, _), some in groups.items() for run in some}
    finished = (
        f"{sum(map(len, groups.values()))} of {planned} runs are finished, and {tried} that chose learning rates."
    )
    if not runs:
        return finished
    counts = {place: run.job.manifest.table["split"].value_counts() for place, run in runs.items()}
    test, most = (max(one[split] for one in counts.values()) for split in ("test", "val"))
    some = [one for one in settings if one.name in counts and counts[one.name]["val"] < most]
    fewer = "".join(f"; {one.title}: {counts[one.name]['val']:,}" for one in some)
    return f"{finished} {test:,} test images, the same for all; {most:,} images choose the epoch{fewer}."


def error_table(groups: RunGroups, methods: Sequence[Method], settings: Sequence[Setting], name: str) -> str:
    """Returns the mean absolute error of each method in each setting, and that of the constant predictor.

    Args:
        groups: the finished runs.
        methods: rows.
        settings: columns; a setting with weak ranks has a second column for these.
        name: `mae` or `mae_argmax`.
    """
    columns = [(place, name) for place in settings]
    columns += [(place, f"{name}_weak") for place in settings if place.weak]
    columns.sort(key=lambda column: settings.index(column[0]))
    heads = [f"{place.title}: {place.weak} alone" if key.endswith("weak") else place.title for place, key in columns]
    rows = [
        [one.title, *(_mean(mean_of(groups.get(("", place.name, one.name), []), key)) for place, key in columns)]
        for one in methods
    ]
    any_method = {place.name: _some(groups, place, methods) for place in settings}
    constant = [
        f"{np.mean([run.stats['constant_mae'] for run in any_method[place.name]]):.1f}"
        if any_method[place.name] and not key.endswith("weak")
        else ""
        for place, key in columns
    ]
    return markdown(["", *heads], [*rows, ["constant predictor", *constant]])


def difference_table(groups: RunGroups, methods: Sequence[Method], settings: Sequence[Setting], error: str) -> str:
    """Returns the differences of mean absolute error with intervals; bold if the interval excludes 0.

    Args:
        groups: the finished runs.
        methods: the compared methods.
        settings: columns; a setting with weak ranks has a second column for these.
        error: `mae` or `mae_argmax`.
    """
    names = {one.name for one in methods}
    columns = [(place, False) for place in settings] + [(place, True) for place in settings if place.weak]
    columns.sort(key=lambda column: settings.index(column[0]))
    heads = [f"{place.title}: {place.weak} alone" if weak else place.title for place, weak in columns]
    rows = []
    for a, b in COMPARISONS:
        if not {a, b} <= names:
            continue
        cells = []
        for place, weak in columns:
            pair = groups.get(("", place.name, a), []), groups.get(("", place.name, b), [])
            cells.append(_difference(error_difference(*pair, error, weak=weak)))
        rows.append([f"{short(a)} − {short(b)}", *cells])
    return markdown(["", *heads], rows)


def ordinality_table(groups: RunGroups, methods: Sequence[Method], settings: Sequence[Setting]) -> str:
    """Returns the paper's ordinality before training and at the best epoch of each setting."""
    rows = []
    for one in methods:
        everywhere = [run for place in settings for run in groups.get(("", place.name, one.name), [])]
        before = [run.stats["ordinality_before"] for run in everywhere]
        cells = [_mean(mean_of(groups.get(("", p.name, one.name), []), "ordinality_best"), 3) for p in settings]
        rows.append([one.title, f"{np.mean(before):.3f}" if before else _NO_RUNS, *cells])
    return markdown(["", "before training", *(place.title for place in settings)], rows)


def rates_table(choice: Choice) -> str:
    """Returns val/mae at 16 shots by learning rate, the chosen one bold, and the rates tried with all images."""
    tables = {name: rate_table(choice.tried, name) for name in choice.rates}
    rates = sorted({rate for table in tables.values() for rate in table}, key=float)
    rows = []
    for name, table in tables.items():
        cells = [f"{table[rate]:.2f}" if rate in table else "" for rate in rates]
        chosen = [
            f"**{cell}**" if rate == choice.rates[name] else cell for rate, cell in zip(rates, cells, strict=True)
        ]
        proofs = [f"{run.cell.rate}: {run.stats['val/mae']:.2f}" for run in choice.proved if run.cell.method == name]
        rows.append([method(name).title, *chosen, ", ".join(proofs)])
    return markdown(["", *rates, "all images"], rows)


def variants_table(groups: RunGroups, methods: Sequence[Method], place: Setting, seeds: Sequence[int]) -> str:
    """Returns the mean absolute error of each variant, and its difference from the main comparison."""
    tried = [variant for variant in VARIANTS if place.name in variant.settings]
    names = [one.name for one in methods if any(one.name in variant.methods for variant in tried)]
    rows = [["as above", *(_mean(mean_of(_seeds(groups, "", place, name, seeds), "mae")) for name in names)]]
    for variant in tried:
        cells = []
        for name in names:
            runs = _seeds(groups, variant.name, place, name, seeds)
            change = error_difference(runs, _seeds(groups, "", place, name, seeds))
            cells.append(f"{_mean(mean_of(runs, 'mae'))} ({_difference(change)})" if runs else "")
        if any(cells):
            rows.append([variant.title, *cells])
    return markdown([place.title, *(method(name).title for name in names)], rows)


def verdicts(groups: RunGroups, pairs: Sequence[tuple[str, str]], settings: Sequence[Setting]) -> str:
    """Returns one line per pair: the settings in which the first is ahead, behind, or neither."""
    lines = []
    for a, b in pairs:
        found: dict[str, list[str]] = {}
        for place in settings:
            word = verdict(error_difference(groups.get(("", place.name, a), []), groups.get(("", place.name, b), [])))
            if word:
                found.setdefault(word, []).append(place.title)
        words = "; ".join(f"{word}: {', '.join(places)}" for word, places in found.items())
        lines.append(f"- {short(a)} against {short(b)}: {words or 'no intervals yet'}.")
    return "\n".join(lines)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short(name: str) -> str:
    """Returns a method's name for use in a sentence."""
    words = {"interpolated": "interpolated head", "linear": "linear head"}
    return words.get(name, name.replace("_untrained", " untrained"))


def _mean(estimate: Estimate, digits: int = 2) -> str:
    if not np.isfinite(estimate.value):
        return _NO_RUNS
    if not np.isfinite(estimate.low):
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ± {estimate.high - estimate.value:.{digits}f}"


def _difference(estimate: Estimate) -> str:
    if not np.isfinite(estimate.value):
        return _NO_RUNS
    if not np.isfinite(estimate.low):
        return f"{estimate.value:+.2f}"
    text = f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
    return f"**{text}**" if estimate.low > 0 or estimate.high < 0 else text


def _some(groups: RunGroups, place: Setting, methods: Sequence[Method]) -> list[ScoredRun]:
    return next((groups[key] for one in methods if (key := ("", place.name, one.name)) in groups), [])


def _seeds(groups: RunGroups, variant: str, place: Setting, name: str, seeds: Sequence[int]) -> list[ScoredRun]:
    return [run for run in groups.get((variant, place.name, name), []) if run.cell.seed in seeds]
