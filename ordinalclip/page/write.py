"""Writes report.html into a run's directory."""

import contextlib
import os
from importlib.resources import files
from pathlib import Path

from ordinalclip.page.content import page_content
from ordinalclip.page.scores import number
from ordinalclip.runs import Run

NAME = "report.html"


def page(run: Run) -> str:
    """The page of a run: HTML with everything in it, nothing is fetched when it is opened."""
    from jinja2 import Environment, StrictUndefined

    template = files("ordinalclip.page").joinpath("report.html.j2").read_text(encoding="utf-8")
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
