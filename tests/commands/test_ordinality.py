"""The ordinality of a run from its record: the table, the command, and that no torch is needed for it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from ordinalclip.errors import ConfigError, DataError
from ordinalclip.ordinality import show_ordinality
from ordinalclip.runs.run import Run
from ordinalclip.scoring.ordinality import logged_ordinality, ordinality_of_features, ordinality_of_run
from tests.metrics.ranks import arc, random_features


def made_run(folder: Path, num_ranks: int) -> Run:
    """A directory with nothing but what is read: random features before training, ordered ones after."""
    folder.mkdir()
    stored = {"before": random_features(num_ranks), "rank_features": arc(num_ranks)}
    save_file({name: np.float32(array) for name, array in stored.items()}, folder / "rank_features.safetensors")
    (folder / "ranks.json").write_text(json.dumps({"names": [f"year {rank}" for rank in range(num_ranks)]}))
    (folder / "config.yaml").touch()
    return Run(folder)


def test_table_of_a_run(tmp_path: Path) -> None:
    found = ordinality_of_run(made_run(tmp_path / "run", 101)).set_index("stage")
    assert list(found.index) == ["before", "best"]
    assert found.loc["best", "score"] == found.loc["best", "adjusted"] == found.loc["best", "span_64"] == 1
    assert abs(found.loc["before", "adjusted"]) < 0.1
    assert found.loc["before", "score_chance"] == pytest.approx(103 / 202)
    sliced = ordinality_of_run(Run(tmp_path / "run"), (15, 76))
    assert list(sliced["num_ranks"]) == [61, 61]
    assert "span_60" in sliced


def test_the_record_scores_the_references_slice_of_101_ranks_besides() -> None:
    record = ordinality_of_features({"best": random_features(101)})
    assert (record["best"]["reference_slice"]["first"], record["best"]["reference_slice"]["last"]) == (15, 75)
    assert list(record["best"]["reference_slice"]["spans"]) == [1, 2, 4, 8, 16, 32, 60]
    assert "reference_slice" not in ordinality_of_features({"best": random_features(100)})["best"]


def test_what_is_not_defined_is_not_logged() -> None:
    assert logged_ordinality(ordinality_of_features({"best": arc(2)})["best"]) == {"ordinality": 1}
    logged = logged_ordinality(ordinality_of_features({"best": arc(5)})["best"])
    assert set(logged) == {"ordinality", "ordinality_adjusted", "ordinality_kendall"}


def test_the_command(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100)
    run = made_run(tmp_path / "run", 6)
    show_ordinality([f"run={run.directory}"], console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "adjusted, 1 for perfect order" in shown
    assert "best: neighbours out of order for a share of the other ranks: none" in shown
    assert "year 0 | year 1" in shown or "year 1 | year 2" in shown


@pytest.mark.parametrize(
    ("word", "told"),
    [("ranks=15", "slice"), ("ranks=0:9", "slice"), ("rank=3", "no such key"), ("run=none", "no such run")],
)
def test_mistakes_are_named(word: str, told: str, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", 6)
    with pytest.raises(ConfigError, match=told):
        show_ordinality([f"run={run.directory}", word])


def test_a_run_without_rank_features(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not finished"):
        ordinality_of_run(Run(tmp_path))


@pytest.mark.slow
def test_no_torch_is_imported(tmp_path: Path) -> None:
    made_run(tmp_path / "run", 5)
    code = "import sys; from ordinalclip.ordinality import main; main(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, f"run={tmp_path / 'run'}"], check=True, stdout=subprocess.DEVNULL)
