"""`python -m ordinalclip.page`: draws a run's figures and writes its report.html, from its record alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from ordinalclip.cli.command import read_words, run_command
from ordinalclip.config.compose import compose_defaults
from ordinalclip.errors import ConfigError
from ordinalclip.runs.find import check_finished, find_run, runs_of_sweep
from ordinalclip.runs.run import Run

_USAGE = """\
OrdinalCLIP draws a finished run's figures and writes a report of one page, from its record alone.

  python -m ordinalclip.page run=RUN|sweep=NAME [paths.runs=FOLDER]

  run       a run's directory, its name below paths.runs, or its id
  sweep     every finished run of this sweep; runs of a sweep have no figures before

It writes RUN/figures/*.png and *.svg, and RUN/report.html, which any browser opens without a network. MLflow shows them
too, if the run's store can be reached.

Examples
  python -m ordinalclip.page run=f13567ff29
  python -m ordinalclip.page sweep=prompts"""
_WHICH = "a run's directory, its name below paths.runs, or its id; sweep=NAME: all runs of a sweep"


def main() -> None:
    """Entry point."""
    run_command(write_reports, _USAGE)


def write_reports(words: Sequence[str]) -> list[Path]:
    """Draws the figures of one run, or of all finished runs of a sweep, and writes their reports.

    Args:
        words: words of the form key=value; `run=` or `sweep=` is required.

    Returns:
        The pages' paths.

    Raises:
        ConfigError: a word cannot be used.
    """
    typed = read_words(words, ("run", "sweep", "paths.runs"), {} if _names_sweep(words) else {"run": _WHICH})
    here = compose_defaults(typed)
    pages = []
    for run in _chosen(typed, Path(here["paths"]["runs"])):
        pages.append(_write_report(run))
        print(f"written {pages[-1]}")
    return pages


def _names_sweep(words: Sequence[str]) -> bool:
    return any(word.startswith("sweep=") for word in words)


def _chosen(typed: Mapping[str, str], root: Path) -> list[Run]:
    if "sweep" not in typed:
        run = find_run(typed["run"], root, "run")
        check_finished(run, "run")
        return [run]
    if "run" in typed:
        raise ConfigError("sweep", typed["sweep"], "and run= both name runs", allowed="one of the two")
    runs = [run for run in runs_of_sweep(typed["sweep"], root, "sweep") if run.state() == "finished"]
    if not runs:
        raise ConfigError("sweep", typed["sweep"], "none of its runs is finished")
    return runs


def _write_report(run: Run) -> Path:
    from ordinalclip.report.gallery import draw_figures
    from ordinalclip.report.page import write_page

    ranks = run.read_json("ranks.json")
    if ranks is None:
        raise ConfigError("run", run.directory, "its record has no ranks.json", remedy="rerun=true makes it anew")
    draw_figures(run, ranks["names"])
    page = write_page(run)
    _copy_to_store(run)
    return page


def _copy_to_store(run: Run) -> None:
    """Copies the figures to the store that shows the run; a store whose file is not here belongs to another machine."""
    cfg = yaml.safe_load((run.directory / "config.yaml").read_text(encoding="utf-8"))
    uri = str((cfg.get("tracking") or {}).get("uri") or "")
    if not uri or (uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file()):
        return
    from ordinalclip.execution.job import mirror_of

    mirror_of(cfg).sync(run, final=True)


if __name__ == "__main__":
    main()
