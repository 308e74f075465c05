from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.frame import frame_of_folder
from analysis.paper_cells import PublishedCell as Cell
from analysis.paper_cells import distinguishing_keys, matches_cell, published_cells
from analysis.paper_table import LAYOUTS, paper_table, table_sheet
from analysis.tables import _TABLES, tables_command
from ordinalclip.errors import ConfigError
from ordinalclip.report.published import read_published
from tests.analysis.made_runs import made_run
from tests.analysis.test_ordinality import arc, with_features


@pytest.fixture(scope="module")
def cells() -> dict[str, list[Cell]]:
    """Of every published table, their commands composed; of long rows the first few settings."""
    left_out = ("2 shots", "8 shots", "16 shots", "32 shots", "64 shots", "20-80", "30-80", "30-90", "40-80", "40-90")
    left_out += tuple(f"{kind} K={number}" for kind in ("linear", "inv_prop") for number in range(5, 10))
    scores = [score for score in read_published() if score.setting not in left_out]
    found = defaultdict(list)
    for cell in published_cells(scores):
        found[cell.score.table].append(cell)
    return found


def run_of(root: Path, cell: Cell, number: int, score: float, **other: Any) -> Path:
    """A run by a cell's command, on another data set and tower as far as `other` says so."""
    settings = dict(cell.settings) | {key.replace("__", "."): value for key, value in other.items()}
    settings.pop("sweep_name")
    return made_run(root, f"{number:03}", settings, scores={"test/mae": score, "test/accuracy": 1 - score})


@pytest.mark.slow
def test_a_run_by_a_cell_s_command_belongs_to_that_cell_alone(cells: dict[str, list[Cell]]) -> None:
    told = 0
    for table, of_table in cells.items():
        keys = distinguishing_keys(of_table)
        for cell in (cell for cell in of_table if cell.settings):
            other_data = {
                "dataset.name": "gauge",
                "prompt.context": cell.settings.get("prompt.context") and "the needle is",
            }
            for run in (dict(cell.settings), dict(cell.settings) | other_data | {"lr": 3e-3, "backbone.name": "tiny"}):
                found = {(c.score.method, c.score.setting) for c in of_table if matches_cell(run, c, keys)}
                parts = {setting for _, setting in found} if table == "Image Aesthetics" else {cell.score.setting}
                # The mean over the categories has all of their runs; a category's data set setting is checked beside.
                assert found == {(cell.score.method, setting) for setting in parts}, (table, cell.score)
                told += 1
    assert told > 100


@pytest.mark.slow
def test_few_shot_with_seeds_and_methods_of_our_own(
    cells: dict[str, list[Cell]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_name = {(cell.score.method, cell.score.setting): cell for cell in cells["few-shot"]}
    number = 0
    for method, mae in (("CoOp", 1.0), ("OrdinalCLIP", 2.0), ("CNN", 3.0)):
        for shots in ("1 shot", "4 shots"):
            for seed in (0, 1):
                ours = {"seed": seed, "dataset__name": "gauge", "protocol__select_on": "val"}
                if method == "CNN":
                    ours["trainable__head"] = 1e-3  # a linear head that trains is not the paper's CNN
                run_of(tmp_path / "runs", by_name[method, shots], number, mae + 0.1 * seed + len(shots), **ours)
                number += 1
    made_run(tmp_path / "runs", "failed", status="failed")
    made_run(tmp_path / "runs", "whole", {"subset.shots": None})
    words = [f"runs={tmp_path / 'runs'}", "table=few_shot", f"figure={tmp_path / 'figure'}"]
    table = tables_command([*words, "format=terminal,csv", f"out={tmp_path / 'few'}"])
    assert table is not None
    assert table.rows == ("CNN", "CoOp", "OrdinalCLIP", "prompt=linear")
    assert table.columns[:3] == ("1 shot", "2 shots", "4 shots")
    assert {place: tuple(found.scores) for place, found in table.ours.items()} == {
        ("CoOp", "1 shot"): (7.0, 7.1),
        ("CoOp", "4 shots"): (8.0, 8.1),
        ("OrdinalCLIP", "1 shot"): (8.0, 8.1),
        ("OrdinalCLIP", "4 shots"): (9.0, 9.1),
        ("prompt=linear", "1 shot"): (9.0, 9.1),
        ("prompt=linear", "4 shots"): (10.0, 10.1),
    }
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = [" ".join(line) for line in lines]
    assert "CoOp published 5.09 4.50 3.81 3.57 3.23 2.87 2.61" in shown
    assert "ours, n = 2 7.050 ± 0.071 – 8.050 ± 0.071 – – – –" in shown
    assert "prompt=linear ours, n = 2 9.050 ± 0.071 – 10.050 ± 0.071 – – – –" in shown
    assert any("dataset.name gauge (paper: morph_lists)" in note for note in table.notes)
    assert "1 of 13 finished runs belong to no cell of this table" in table.notes
    assert "1 of 14 runs are not finished" in table.notes
    assert not any("selected on test" in note for note in table.notes)
    csv = pd.read_csv(tmp_path / "few.csv")
    np.testing.assert_allclose(csv["1 shot"].dropna(), [8.04, 5.09, 7.05, 4.94, 8.05, 9.05])
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert "1 shot" in csv.columns


@pytest.mark.slow
def test_main_table_takes_the_right_data_alone(cells: dict[str, list[Cell]], tmp_path: Path) -> None:
    morph = next(cell for cell in cells["MORPH II"] if cell.score.method == "CoOp")
    run_of(tmp_path, morph, 0, 2.5)
    run_of(tmp_path, morph, 1, 2.7, seed=27, dataset__name="morph")
    run_of(tmp_path, morph, 2, 9.9, dataset__name="gauge")
    overall = next(c for c in cells["Image Aesthetics"] if (c.score.method, c.score.setting) == ("CoOp", "overall"))
    for number, category in enumerate(("nature", "animals", "urban", "people")):
        for seed in (0, 1) if category != "people" else (0,):
            run_of(tmp_path, overall, 10 * seed + number + 5, 0.1 * number, dataset__category=category, seed=seed)
    frame = frame_of_folder(tmp_path)
    with pytest.raises(ConfigError, match=r"CoOp MORPH II MAE: its runs differ in dataset\.name"):
        paper_table("main", frame)
    table = paper_table("main", frame[frame["run_id"] != "001"])
    assert {place: [round(score, 6) for score in found.scores] for place, found in table.ours.items()} == {
        ("CoOp", "MORPH II MAE"): [2.5],
        ("CoOp", "Image Aesthetics accuracy %"): [85.0],  # of the seed that has all four categories
        ("CoOp", "Image Aesthetics MAE"): [0.15],
    }
    assert any("selected on test" in note for note in table.notes)
    without = paper_table("main", frame[frame["dataset.category"] != "people"].query("run_id != '001'"))
    assert ("CoOp", "Image Aesthetics MAE") not in without.ours
    assert any("there are no runs of people" in note for note in without.notes)


@pytest.mark.slow
def test_ordinality_is_of_the_paper_s_slice(cells: dict[str, list[Cell]], tmp_path: Path) -> None:
    coop = next(cell for cell in cells["ordinality"] if cell.score.method == "CoOp")
    features = np.random.default_rng(0).normal(size=(101, 8))
    features[15:76] = np.pad(arc(61), ((0, 0), (0, 6)))
    with_features(run_of(tmp_path, coop, 0, 1.0), features)
    names = {"prompt__name": "rank", "prompt__rank_init": "names"}
    ours = run_of(tmp_path, coop, 1, 1.0, **names, prompt___target_="ordinalclip.prompts.rank.RankPrompt")
    with_features(ours, arc(5))
    table = tables_command([f"runs={tmp_path}", "table=ordinality", f"figure={tmp_path / 'figure'}"])
    assert table is not None
    # Base ranks that start from names are a method of ours, with a row of its own.
    assert {row: found.scores for (row, _), found in table.ours.items()} == {
        "CoOp": pytest.approx([100.0]),
        "prompt=rank": pytest.approx([100.0]),
    }
    assert (tmp_path / "figure.svg").is_file()


@pytest.mark.slow
def test_base_ranks_have_interpolations_as_rows(tmp_path: Path) -> None:
    made_run(tmp_path, "0", status="failed")
    table = paper_table("base_ranks", frame_of_folder(tmp_path))
    assert table.rows == ("linear", "inv_prop")
    assert table.columns == tuple(f"K={number}" for number in range(2, 10))
    assert table.ours == {}
    texts = [[cell.text for cell in row] for row in table_sheet(table).rows]
    assert texts[0] == ["linear", "published", "2.38", "2.32", "2.38", "2.36", "2.39", "2.38", "2.40", "2.41"]
    assert texts[1] == ["", "ours, no runs", *["–"] * 8]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["table=few_shots"], "there is no such table(.|\n)*did you mean few_shot"),
        ([], "table=: there is no such table"),
        (["table=shift", "figure=x"], "figure=x: table=shift has none"),
        (["table=few_shot", "runs=nowhere"], "there is no such run"),
    ],
)
def test_mistakes(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tables_command(words)


def test_all_tables_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables_command(["table=list"]) is None
    listed = [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(_TABLES) == list(LAYOUTS)


def test_every_published_score_is_in_some_table() -> None:
    assert all(any(layout.has(score) for layout in LAYOUTS.values()) for score in read_published())
