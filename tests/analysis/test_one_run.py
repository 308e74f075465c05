from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.notebooks import ranks_sheet, scores_sheet, worst_sheet
from analysis.tested import read_tested
from ordinalclip.runs.run import Run
from tests.analysis.made_runs import made_run, with_predictions


@pytest.fixture
def run(tmp_path: Path) -> Run:
    rng = np.random.default_rng(0)
    rank = np.array([1, 1, 5] * 100)
    error = np.where(rank == 1, rng.uniform(0, 1, 300), -0.5)
    error[7] = 3.25
    return Run(with_predictions(made_run(tmp_path, "0", labels={"selected_on": "test"}), rank, rank + error))


def test_scores_have_intervals(run: Run) -> None:
    sheet = scores_sheet(run, read_tested(run.directory))
    ((name, value, interval, constant),) = sheet.rows
    errors = read_tested(run.directory).scores("mae")
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
    rows = [[cell.text for cell in row] for row in ranks_sheet(read_tested(run.directory)).rows]
    assert rows[0] == ["0", "0", "–", "–"]
    assert rows[5] == ["5", "100", "0.500", "-0.50"]
    assert (rows[1][1], rows[1][3][0]) == ("200", "+")


def test_worst_images(run: Run) -> None:
    first, *_ = worst_sheet(run, 3).rows
    assert [cell.text for cell in first] == ["00007", "1", "4.2", "+3.25", "0.000"]
    assert len(worst_sheet(run, 3).rows) == 3
