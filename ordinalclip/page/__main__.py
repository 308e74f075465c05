"""`python -m ordinalclip.page`: draws a run's figures and writes its report.html, from its record alone."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from ordinalclip.command import composed, read_words, run_command
from ordinalclip.errors import ConfigError
from ordinalclip.find_run import check_finished, find_run
from ordinalclip.runs import Run

_USAGE = """\
OrdinalCLIP draws a finished run's figures and tells it on one page, from its record alone.

  python -m ordinalclip.page run=RUN [paths.runs=FOLDER]

  run       a run's directory, its name below paths.runs, or its id

Written are RUN/figures/*.png and *.svg, and RUN/report.html, which any browser opens, without a network; MLflow shows
them too, where the run's store is at hand. Runs of a sweep have none until this is asked for.

Example
  python -m ordinalclip.page run=f13567ff29"""


def main() -> None:
    """Entry point."""
    run_command(write_report, _USAGE)


def write_report(words: Sequence[str]) -> Path:
    """Draws and writes what was asked for.

    Args:
        words: of the form key=value; `run=` is needed.

    Returns:
        The page's path.

    Raises:
        ConfigError: for what cannot be used.
    """
    typed = read_words(words, ("run", "paths.runs"), {"run": "a run's directory, its name below paths.runs, or its id"})
    here = composed([word for word in words if word.startswith("paths.")])
    run = find_run(typed["run"], Path(here["paths"]["runs"]), "run")
    check_finished(run, "run")
    ranks = run.read_json("ranks.json")
    if ranks is None:
        raise ConfigError("run", run.directory, "its record has no ranks.json", remedy="rerun=true makes it anew")

    from ordinalclip.gallery import draw_figures
    from ordinalclip.page.write import write_page

    draw_figures(run, ranks["names"])
    page = write_page(run)
    print(f"written {page}")
    _copy_to_store(run)
    return page


def _copy_to_store(run: Run) -> None:
    """Has the store that shows the run show its figures; one whose file is not here is somebody else's."""
    cfg = yaml.safe_load((run.directory / "config.yaml").read_text(encoding="utf-8"))
    uri = str((cfg.get("tracking") or {}).get("uri") or "")
    if not uri or (uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file()):
        return
    from ordinalclip.job import mirror_of

    mirror_of(cfg).sync(run, final=True)


if __name__ == "__main__":
    main()
