"""What is written between the page's marks."""

from collections.abc import Sequence

from analysis.evidence.plan import VARIANT_SEEDS, Method, Setting
from analysis.evidence.rates import Choice
from analysis.evidence.scores import Group
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


def _setup(tried: int, groups: Group, settings: Sequence[Setting], planned: int) -> str:
    """How much was run, and on how many images."""
    runs = {place: run for (_, place, _), some in groups.items() for run in some}
    told = f"{sum(map(len, groups.values()))} of {planned} runs are finished, and {tried} that chose learning rates."
    if not runs:
        return told
    counts = {place: run.job.manifest.table["split"].value_counts() for place, run in runs.items()}
    test, most = (max(one[split] for one in counts.values()) for split in ("test", "val"))
    some = [one for one in settings if one.name in counts and counts[one.name]["val"] < most]
    fewer = "".join(f"; {one.title}: {counts[one.name]['val']:,}" for one in some)
    return f"{told} {test:,} test images, the same for all; {most:,} images choose the epoch{fewer}."
