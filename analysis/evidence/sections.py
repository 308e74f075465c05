"""What is written between the page's marks."""

from collections.abc import Sequence

from analysis.evidence.plan import VARIANT_SEEDS, Method, Setting
from analysis.evidence.rates import Choice
from analysis.evidence.scores import Group, Scored
from analysis.evidence.tables import (
    difference_table,
    error_table,
    ordinality_table,
    rates_table,
    variants_table,
    verdicts,
)

_CLAIMS = (("rank", "linear"), ("rank", "context"))
_CONTROLS = (
    *(("rank", "rank_untrained"), ("context", "context_untrained")),
    *(("rank", "interpolated"), ("rank_untrained", "interpolated")),
)


def sections(
    choice: Choice,
    groups: Group,
    methods: Sequence[Method],
    settings: Sequence[Setting],
    *,
    planned: int,
) -> dict[str, str]:
    """Name of a mark → Markdown.

    Args:
        choice: of learning rates.
        groups: the other runs.
        methods: compared.
        settings: compared in.
        planned: how many runs there are to be.
    """
    varied = [one for one in settings if any(variant and one.name == place for variant, place, _ in groups)]
    found = {
        "setup": _setup([*choice.tried, *choice.proved], groups, planned),
        "rates": rates_table(choice),
        "verdicts": verdicts(groups, _CLAIMS, settings),
        "controls": verdicts(groups, _CONTROLS, settings),
        "errors": error_table(groups, methods, settings, "mae"),
        "argmax": error_table(groups, methods, settings, "mae_argmax"),
        "differences": difference_table(groups, methods, settings),
        "ordinality": ordinality_table(groups, methods, settings),
    }
    if varied:
        found["variants"] = "\n\n".join(variants_table(groups, methods, place, VARIANT_SEEDS) for place in varied)
    return found


def _setup(tried: Sequence[Scored], groups: Group, planned: int) -> str:
    """How much was run, in numbers."""
    runs = [run for group in groups.values() for run in group]
    seconds = sum(run.job.run.status().get("seconds", 0) for run in [*tried, *runs])
    lines = [
        f"{len(runs)} of {planned} runs are finished, and {len(tried)} that chose learning rates: "
        f"{seconds / 60:.0f} minutes of training and testing in all."
    ]
    if runs:
        counts = runs[0].job.manifest.table["split"].value_counts()
        lines.append(f"{counts['test']:,} test images, the same for all; {counts['val']:,} images choose the epoch.")
    return " ".join(lines)
