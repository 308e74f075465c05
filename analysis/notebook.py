"""What the notebooks have in common: runs by the words of the command line, tables and pictures in the page."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from IPython.display import Image, Markdown, display
from PIL import Image as Pillow

from analysis.choose import choose_runs
from analysis.compare_sheets import number
from analysis.settings import shown
from analysis.sheet import EMPTY, Cell, Sheet, to_markdown
from analysis.usage import RUN_WORDS, read_words, runs_root
from ordinalclip.conf_dir import conf_dir
from ordinalclip.gallery import draw_figures, has_figures
from ordinalclip.runs import Run

_WIDTH = 640  # pixels of a picture


def chosen(*words: str) -> pd.DataFrame:
    """The table of the runs that words choose, as `python -m analysis.compare` takes them.

    Args:
        words: such as "sweep=few_shot", "dataset=gauge"; without runs= or store= the folder of the runs is that of
            `paths.runs`, or `runs` at the top of the checkout, since a notebook lies below it.
    """
    typed, root = read_words(words), runs_root()
    if not root.is_dir():
        root = conf_dir().parent / root
    filters = {key: value for key, value in typed.items() if key not in RUN_WORDS}
    return choose_runs({key: typed[key] for key in RUN_WORDS if key in typed}, filters, root)


def show(*sheets: Sheet) -> None:
    """Shows tables."""
    for sheet in sheets:
        display(Markdown(to_markdown(sheet)))


def runs_sheet(frame: pd.DataFrame, columns: Sequence[str]) -> Sheet:
    """Some columns of the table of runs as a table to read."""
    rows = [[_cell(run.get(column)) for column in columns] for _, run in frame.iterrows()]
    return Sheet("runs", "1 run" if len(frame) == 1 else f"{len(frame)} runs", columns, rows)


def picture(draw: Callable[..., tuple[Path, Path]], *arguments: Any) -> Image:
    """A picture by one of the functions that draw into a file.

    Args:
        draw: called with the arguments and where to draw, without a suffix; returns the PNG's path first.
        arguments: of `draw`.
    """
    with TemporaryDirectory() as folder:
        return small(draw(*arguments, Path(folder) / "figure")[0])


def small(file: Path) -> Image:
    """A picture from a file, no wider than a page."""
    with Pillow.open(file) as opened:
        ratio = min(1.0, _WIDTH / opened.width)
        smaller = opened.convert("RGB").resize((round(opened.width * ratio), round(opened.height * ratio)))
        bytes_ = BytesIO()
        smaller.quantize(256).save(bytes_, "PNG", optimize=True)
    return Image(bytes_.getvalue())


def figures_of(run: Run, *names: str) -> None:
    """Shows figures of a run's record, drawn where nobody has looked yet; those that it has not are passed over."""
    if not has_figures(run):
        draw_figures(run, run.read_json("ranks.json")["names"])
    for name in names:
        file = run.directory / "figures" / f"{name}.png"
        if file.is_file():
            display(small(file))


def _cell(value: Any) -> Cell:
    if value is None or value is pd.NA or value != value:
        return Cell(EMPTY)
    return Cell(number(value)) if isinstance(value, float) else Cell(shown(value))
