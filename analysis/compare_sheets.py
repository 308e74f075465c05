"""A comparison as tables: the groups' scores, and how far each is ahead of the others."""

import numpy as np

from analysis.comparison import Comparison
from analysis.groups import Group
from analysis.sheet import EMPTY, Cell, Sheet
from ordinalclip.report import ON_TEST


def sheets_of(comparison: Comparison) -> list[Sheet]:
    """A comparison as two tables: the groups' scores, and their differences where there are two groups or more."""
    scores = _scores_sheet(comparison)
    return [scores, _pairs_sheet(comparison)] if comparison.pairs else [scores]


def _scores_sheet(comparison: Comparison) -> Sheet:
    winner = comparison.winner
    stamped = any(group.selected_on_test for group in comparison.groups)
    percent = f"{100 * comparison.level:g} %"
    rows = []
    for group in comparison.groups:
        bold = group is winner
        found, std = group.summary(comparison.level), _std(group)
        numbers = {"": found.value, "std": std, "low": found.low, "high": found.high}
        count = f"{len(group.scores)}/{group.planned}"
        rows.append(
            [
                *(Cell(value, bold=bold) for value in group.label or ("all",)),
                *([Cell("selected on test" if group.selected_on_test else "")] if stamped else []),
                Cell(count, {"": len(group.scores), "planned": group.planned}),
                Cell(spread(found.value, std), {key: numbers[key] for key in ("", "std")}, bold=bold),
                Cell(between(found.low, found.high), {key: numbers[key] for key in ("low", "high")}),
            ]
        )
    better = "less is better" if comparison.less else "more is better"
    headings = [*(comparison.keys or ("runs of",)), *(["stamp"] if stamped else [])]
    return Sheet(
        name=_word(comparison.metric),
        title=f"{comparison.metric} ({better}): mean ± standard deviation over seeds and folds",
        headings=[*headings, "runs", comparison.metric, f"{percent} interval"],
        rows=rows,
        notes=[
            *([ON_TEST] if stamped else []),
            *comparison.notes,
            *([verdict(comparison)] if comparison.pairs else []),
        ],
        numeric=3,
    )


def _pairs_sheet(comparison: Comparison) -> Sheet:
    rows = []
    for pair in comparison.pairs:
        ahead = comparison.is_ahead(pair.a, pair.b) or comparison.is_ahead(pair.b, pair.a)
        found = pair.estimate
        cells = [Cell(EMPTY), Cell(EMPTY), Cell(EMPTY), Cell(EMPTY)]
        if found is not None:
            cells = [
                Cell(signed(found.value), {"": found.value}, bold=ahead),
                Cell(between(found.low, found.high, signed), {"low": found.low, "high": found.high}),
                Cell(chance(found.p), {"": found.p}),
                Cell(chance(pair.adjusted), {"": pair.adjusted}, bold=ahead),
            ]
        rows.append([Cell(pair.a.name), Cell(pair.b.name), Cell(pair.how), *cells])
    stamped = any(group.selected_on_test for group in comparison.groups)
    interval = f"{100 * comparison.level:g} % interval"
    on = " on the same test images" if comparison.metric.startswith("test/") else ""
    return Sheet(
        name=f"{_word(comparison.metric)}-differences",
        title=f"{comparison.metric}: differences of the first from the second{on}",
        headings=["first", "second", "interval counts", "difference", interval, "p", "p, Holm"],
        rows=rows,
        notes=[ON_TEST] if stamped else [],
        numeric=4,
    )


def verdict(comparison: Comparison) -> str:
    """One sentence: what is ahead of what, or that nothing is."""
    best, *others = comparison.groups
    if not others:
        return ""
    if comparison.winner is not None:
        return f"{best.name} is ahead of all others"
    if comparison.baseline is not None:
        return _verdict_on(comparison)
    not_behind = [other.name for other in others if not comparison.is_ahead(best, other)]
    ahead = [other.name for other in others if comparison.is_ahead(best, other)]
    told = f"{best.name} has the best mean, but is not ahead of {', '.join(not_behind)} by more than chance explains"
    return f"{told}; it is ahead of {', '.join(ahead)}" if ahead else told


def _verdict_on(comparison: Comparison) -> str:
    """What is ahead of the baseline and what is behind it; the others were not compared with each other."""
    base = next(group for group in comparison.groups if group.name == comparison.baseline)
    others = [group for group in comparison.groups if group is not base]
    ahead = ", ".join(group.name for group in others if comparison.is_ahead(group, base))
    behind = ", ".join(group.name for group in others if comparison.is_ahead(base, group))
    told = [f"{ahead}: ahead of {base.name}"] if ahead else []
    told += [f"{behind}: behind {base.name}"] if behind else []
    return "; ".join(told) or f"nothing is ahead of {base.name} or behind it by more than chance explains"


def spread(value: float, std: float) -> str:
    """Mean ± standard deviation; the mean alone where there is one run."""
    return number(value) if np.isnan(std) else f"{number(value)} ± {number(std)}"


def between(low: float, high: float, form: object = None) -> str:
    """An interval, or what stands for none."""
    shape = form if callable(form) else number
    return EMPTY if np.isnan(low) else f"{shape(low)} … {shape(high)}"


def number(value: float) -> str:
    """A score with three decimals, or what stands for none."""
    return EMPTY if np.isnan(value) else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference with its sign."""
    return EMPTY if np.isnan(value) else f"{value:+.3f}"


def chance(p: float) -> str:
    """A p-value with two digits."""
    if np.isnan(p):
        return EMPTY
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.0995 else f"{p:.2f}"


def _std(group: Group) -> float:
    return float(np.std(group.scores, ddof=1)) if len(group.scores) > 1 else float("nan")


def _word(metric: str) -> str:
    return metric.replace("/", "-")
