"""`python -m analysis.evidence`: trains the missing runs of the comparison, then writes docs/evidence.md.

Runs are ordinary runs below paths.runs, and finished ones are skipped. Overrides KEY=VALUE are added to all runs.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

QUICK = ("dataset.size=48", "++backbone.size=64", "subset.seed=0", "batch_size=200", "epochs=2")
QUICK_DATA = {
    "gauge": ("dataset.num_ranks=41", "dataset.images_per_rank=12"),
    "heads": ("dataset.num_subjects=60", "dataset.ages=[20,60]"),
}
_HEADINGS = {
    "setup": "Set-up",
    "rates": "Learning rates",
    "verdicts": "Claims",
    "errors": "Mean absolute error",
    "differences": "Differences",
    "argmax": "By argmax",
    "argmax differences": "Differences by argmax",
    "ordinality": "Ordinality",
    "variants": "Reasons",
}


def main() -> None:
    """Entry point; exits with 2 on invalid arguments."""
    given = arguments().parse_args()
    from ordinalclip.cli.command import log_to_terminal, report_error

    log_to_terminal()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        evidence(given)
    except KeyboardInterrupt:
        print("interrupted; the same command, typed again, goes on from here", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(report_error(error, given.overrides))


def evidence(given: argparse.Namespace) -> Path:
    """Trains the missing runs, then writes the page and its plots.

    Args:
        given: the parsed command line.

    Returns:
        The page.
    """
    from analysis.evidence import plan
    from analysis.evidence.plots import draw_plots
    from analysis.evidence.report import empty_template, sections, write_page
    from analysis.evidence.runs import choose_rates, run_cells
    from analysis.evidence.scores import group_runs, read_scores

    methods = [one for one in plan.METHODS if given.methods is None or one.name in given.methods]
    settings = [one for one in plan.SETTINGS if given.settings is None or one.name in given.settings]
    asked = given.seeds if given.seeds is not None else plan.SEEDS[:2] if given.quick else plan.SEEDS
    seeds = [seed for seed in plan.SEEDS if seed in asked]
    variant_seeds = [] if given.quick else [seed for seed in plan.VARIANT_SEEDS if seed in asked]
    quick = (*QUICK_DATA[given.data], *QUICK) if given.quick else ()
    overrides = [*plan.DATA[given.data], *quick, *given.overrides]
    first_rates = plan.FIRST_RATES[1:3] if given.quick else plan.FIRST_RATES
    names = [one.name for one in methods]
    choice = choose_rates(names, first_rates, overrides, widen=not given.quick, dry=given.page, at_once=given.jobs)
    chosen = choice.rates
    known = [one for one in methods if one.name in chosen]
    first, late = ([one for one in known if one.late is late] for late in (False, True))
    cells = [
        *plan.main_cells(first, settings, chosen, seeds),
        *plan.variant_cells(known, settings, chosen, variant_seeds),
        *plan.main_cells(late, settings, chosen, seeds),
    ]
    done = run_cells(cells, overrides, dry=given.page, at_once=given.jobs)
    scored = [read_scores(cell, job) for cell, job in done.items()]
    groups = group_runs(scored)
    folder = given.output or _default_folder(given)
    folder.mkdir(parents=True, exist_ok=True)
    draw_plots(groups, methods, settings, folder)
    made = sections(choice, groups, methods, settings, planned=len(cells))
    page: Path = folder / "evidence.md"
    write_page(page, made, empty_template(_HEADINGS))
    print(f"wrote {page}")
    return page


def arguments() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m analysis.evidence", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of all runs, such as paths.runs=…")
    parser.add_argument("--quick", action="store_true", help="a smoke test: 41 ranks, small images, two epochs")
    parser.add_argument("--page", action="store_true", help="train nothing, write the page from finished runs")
    parser.add_argument("--data", choices=("gauge", "heads"), default="gauge", help="heads: rendered, SYNTHETIC ages")
    parser.add_argument("--methods", type=_words, metavar="A,B", help="some of them; see analysis/evidence/plan.py")
    parser.add_argument("--settings", type=_words, metavar="A,B", help="some of them, such as 1_shot,full")
    parser.add_argument("--seeds", type=_numbers, metavar="0,1", help="some of 0 to 4")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=min(cores, 8), metavar="N", help="runs at a time, a thread each")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="of the page; docs, or runs/evidence_…")
    return parser


def _default_folder(given: argparse.Namespace) -> Path:
    """docs/ for the complete comparison on gauges, else a folder in runs/."""
    whole = given.data == "gauge" and not given.quick
    return Path("docs" if whole else f"runs/evidence_{given.data}{'_quick' if given.quick else ''}")


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    main()
