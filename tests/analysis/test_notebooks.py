import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from analysis.render import HERE, NAMES, executed, train, write_page

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
    train(root / "runs", [*SMALL, f"paths.data={root / 'data'}", f"paths.cache={root / 'cache'}"], SWEEPS)
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
