"""`python -m analysis.render` (`make notebooks`): trains a few small runs and renders the notebooks on them."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError

HERE = Path(__file__).parent
NAMES = ("compare_runs", "ordinality", "few_shot", "distribution_shift", "one_run")
_USAGE = """\
OrdinalCLIP trains a few small runs on gauges (finished ones are skipped) and renders the notebooks on them.

  python -m analysis.render runs=FOLDER [out=docs/notebooks] [KEY=VALUE …]

  runs      folder of these runs alone, such as .cache/notebooks
  out       folder of the pages (docs/notebooks)
  other keys: settings of the runs, such as backbone=tiny"""
_TIMEOUT_S = 300
# Takes minutes on two cores: 11 ranks, a few hundred images, the backbone `mini` with cached features.
SETTINGS = (
    *("experiment=gauge", "dataset.num_ranks=11", "dataset.images_per_rank=40", "epochs=10", "lr=5e-3"),
    "tracking=offline",
)
SWEEPS = (
    ("sweep=prompts", "prompt=rank,context,linear", "seed=0,1,2"),
    ("sweep=few_shot", "prompt=rank,context,linear", "subset.shots=1,4", "seed=0,1"),
    ("sweep=shift", "prompt=rank,context,linear", "subset.shift_ranks=10", "subset.shift_keep=0.1", "seed=0,1"),
)


def main() -> None:
    """Entry point."""
    run_command(render, _USAGE)


def render(words: Sequence[str]) -> list[Path]:
    """Trains missing runs, executes each notebook and writes it as a page; returns the pages.

    Args:
        words: of the form key=value; `runs=` is required.

    Raises:
        ConfigError: if `runs` is missing.
    """
    typed = {
        key.removeprefix("paths.") if key == "paths.runs" else key: value
        for key, _, value in (word.partition("=") for word in words)
    }
    if "runs" not in typed:
        raise ConfigError("runs", "", "where?", remedy="runs=.cache/notebooks, a folder of its own")
    runs = Path(typed.pop("runs")).absolute()
    out = Path(typed.pop("out", "docs/notebooks"))
    train(runs, [*SETTINGS, *(f"{key}={value}" for key, value in typed.items())], SWEEPS)
    return [write_page(executed(HERE / f"{name}.ipynb", runs), name, out) for name in NAMES]


def train(runs: Path, settings: Sequence[str], sweeps: Sequence[Sequence[str]]) -> None:
    """Runs sweeps one after another; finished runs are skipped.

    Args:
        runs: folder of the runs.
        settings: overrides of all sweeps.
        sweeps: overrides of each sweep.
    """
    for words in sweeps:
        command = [sys.executable, "-m", "ordinalclip.train", "-m", f"paths.runs={runs}", *settings, *words]
        subprocess.run(command, check=True)


def executed(file: Path, runs: Path) -> Any:
    """Returns a notebook after executing all cells in a new kernel.

    Args:
        file: the notebook.
        runs: folder of the runs that it analyzes.
    """
    import nbformat
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.read(file, as_version=4)
    kept = os.environ.get("ORDINALCLIP_RUNS")
    os.environ["ORDINALCLIP_RUNS"] = str(runs)
    try:
        with TemporaryDirectory() as folder:  # for sockets that other users cannot open
            kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/k")
            resources = {"metadata": {"path": str(file.parent)}}
            NotebookClient(notebook, km=kernel, timeout=_TIMEOUT_S, resources=resources).execute(cleanup_kc=True)
    finally:
        os.environ.pop("ORDINALCLIP_RUNS")
        if kept is not None:
            os.environ["ORDINALCLIP_RUNS"] = kept
    return notebook


def write_page(notebook: Any, name: str, out: Path) -> Path:
    """Writes an executed notebook as Markdown with its figures; returns the page.

    Args:
        notebook: with outputs.
        name: of the page and of the folder of its figures.
        out: folder of the page.
    """
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"unique_key": name, "output_files_dir": name}
    )
    out.mkdir(parents=True, exist_ok=True)
    for file, content in resources["outputs"].items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).write_bytes(content)
    page = out / f"{name}.md"
    source = f"*Rendered from [`analysis/{name}.ipynb`](../../analysis/{name}.ipynb) by `make notebooks`.*\n\n"
    page.write_text(source + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", encoding="utf-8")
    return page


if __name__ == "__main__":
    main()
