"""The notebooks, their pages, and the tables that they show of one run."""

import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from scipy import stats

from analysis import render
from analysis.image_results import read_image_results
from analysis.notebooks import ranks_sheet, scores_sheet, worst_sheet
from analysis.render import HERE, NAMES, executed, write_page
from ordinalclip.runs.run import Run
from tests import warm
from tests.analysis.made_runs import made_run, with_predictions

SMALL = (
    *("backbone=tiny", "dataset=gauge", "dataset.num_ranks=11", "dataset.images_per_rank=12", "dataset.size=32"),
    *("trainer=cpu", "tracking=offline", "epochs=1", "num_workers=0"),
)
SWEEPS = (
    ("sweep=few_shot", "prompt=rank,context", "subset.shots=null,1,4", "seed=0,1"),
    ("sweep=shift", "prompt=rank,context", "subset.shift_ranks=10", "subset.shift_keep=0.1", "seed=0,1"),
)
# What a page of these runs has to say; outputs are Markdown.
EXPECTED = {
    "compare_runs": ["test/mae (less is better)", "test/qwk (more is better)", "seeds and images", "2/2"],
    "ordinality": ["ordinality of 11 ranks: share of pairs in order", "perfect order"],
    "few_shot": ["OrdinalCLIP | published", "ours, n = 2", "dataset.name gauge (paper: morph_lists)"],
    "distribution_shift": ["10-90", "ours, n = 2", "p, Holm"],
    "one_run": ["bootstrap over 33 images", "constant predictor", "worst test images"],
}
PICTURES = {"compare_runs": 0, "ordinality": 1, "few_shot": 1, "distribution_shift": 0, "one_run": 2}


def notebook(name: str) -> Any:
    return nbformat.read(HERE / f"{name}.ipynb", as_version=4)


def test_all_notebooks_are_known() -> None:
    assert {path.stem for path in HERE.glob("*.ipynb")} == {*NAMES} == {*EXPECTED}


@pytest.mark.parametrize("name", NAMES)
def test_stored_without_outputs(name: str) -> None:
    for cell in notebook(name).cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            assert cell.source.count("\n") < 12, "code lives in functions"
            assert "def " not in cell.source


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_of_the_notebooks_as_they_are(name: str) -> None:
    page = (HERE.parent / "docs" / "notebooks" / f"{name}.md").read_text(encoding="utf-8")
    for cell in notebook(name).cells:
        assert cell.source.strip() in page, "make notebooks renders them anew"
    assert not re.search(r"/(home|root|tmp|work|Users)/", page)
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
        assert (HERE.parent / "docs" / "notebooks" / picture).is_file()


def test_pages_are_small() -> None:
    assert sum(path.stat().st_size for path in (HERE.parent / "docs" / "notebooks").rglob("*.*")) < 400_000


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a real sweep over prompts, shots, a shift and seeds."""
    root = tmp_path_factory.mktemp("notebooks")

    def run(command: list[str], *, check: bool) -> None:
        assert command[1] == "-m"
        warm.run(*command[2:]).check_returncode()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(render.subprocess, "run", run)
        render.train(root / "runs", [*SMALL, f"paths.data={root / 'data'}", f"paths.cache={root / 'cache'}"], SWEEPS)
    return root / "runs"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
def test_run_from_end_to_end(name: str, store: Path, tmp_path: Path) -> None:
    page = write_page(executed(HERE / f"{name}.ipynb", store), name, tmp_path).read_text(encoding="utf-8")
    plain = re.sub(r"\*\*| +(?= )", "", page)
    for words in EXPECTED[name]:
        assert words in plain
    assert len(list((tmp_path / name).glob("*.png")) if (tmp_path / name).is_dir() else []) >= PICTURES[name]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    rng = np.random.default_rng(0)
    rank = np.array([1, 1, 5] * 100)
    error = np.where(rank == 1, rng.uniform(0, 1, 300), -0.5)
    error[7] = 3.25
    return Run(with_predictions(made_run(tmp_path, "0", labels={"selected_on": "test"}), rank, rank + error))


def test_scores_have_intervals(run: Run) -> None:
    sheet = scores_sheet(run, read_image_results(run.directory))
    ((name, value, interval, constant),) = sheet.rows
    errors = read_image_results(run.directory).scores("mae")
    assert errors is not None
    assert value.numbers is not None
    assert interval.numbers is not None
    assert (name.text, constant.text) == ("mae", "–")
    assert value.numbers[""] == pytest.approx(errors.mean(), abs=1e-6)
    normal = stats.norm.interval(0.95, errors.mean(), errors.std(ddof=1) / np.sqrt(300))
    assert (interval.numbers["low"], interval.numbers["high"]) == pytest.approx(normal, abs=0.01)
    assert sheet.notes[0].startswith("selected on test")
    assert sheet.notes[1] == "intervals: bootstrap over 300 images; chance in training is not in them"


def test_errors_by_rank(run: Run) -> None:
    rows = [[cell.text for cell in row] for row in ranks_sheet(read_image_results(run.directory)).rows]
    assert rows[0] == ["0", "0", "–", "–"]
    assert rows[5] == ["5", "100", "0.500", "-0.50"]
    assert (rows[1][1], rows[1][3][0]) == ("200", "+")


def test_worst_images(run: Run) -> None:
    first, *_ = worst_sheet(run, 3).rows
    assert [cell.text for cell in first] == ["00007", "1", "4.2", "+3.25", "0.000"]
    assert len(worst_sheet(run, 3).rows) == 3
