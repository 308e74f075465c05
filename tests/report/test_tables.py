import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ordinalclip.preparation.prepare import Job
from ordinalclip.report.tables import print_run, print_store, print_sweep, sweep_rows, titles
from ordinalclip.runs.run import Run
from tests.datasets.made import make_manifest

STATS = {
    "test/num_images": 40,
    "test/mae": 0.5,
    "test/mae_argmax": 0.6,
    "test/accuracy": 0.75,
    "test/accuracy_within_1": 1.0,
    "test/qwk": -0.8,
    "test/constant_mae": 1.25,
    "test/constant_accuracy": 0.25,
    "test/constant_accuracy_within_1": 0.5,
    "test/constant_qwk": 0.0,
    "test/constant_median_rank": 1.0,
    "test/constant_majority_rank": 0.0,
}
ORDINALITY = {"before": {"score": 0.5, "score_chance": 0.7}, "best": {"score": 1.0, "score_chance": 0.7}}


def job(
    folder: Path,
    *overrides: str,
    mae: float | None = 0.5,
    seed: int = 0,
    fold: int | None = None,
    draw: int | None = None,
    select_on: str = "val",
    **settings: Any,
) -> Job:
    """A job whose run is finished with this error, or has not begun."""
    manifest = replace(make_manifest([0, 1, 2]), rank_names=("[bold]", "a rather long name of a rank, too long", "c"))
    identity = {"seed": seed} | settings
    run = Run(folder / f"made-{abs(hash(json.dumps([identity, fold, draw])))}")
    if mae is not None:
        run.directory.mkdir()
        (run.directory / "status.json").write_text('{"status": "finished"}')
        (run.directory / "test_stats.json").write_text(json.dumps(STATS | {"test/mae": mae}))
        (run.directory / "ordinality.json").write_text(json.dumps(ORDINALITY))
    names: dict[str, dict[str, Any]] = {group: {"name": group} for group in ("dataset", "backbone", "prompt")}
    protocol = {"split": {}, "select_on": select_on}
    names["dataset"] |= {} if fold is None else {"fold": fold}
    identity |= {} if fold is draw is None else {"manifest": f"of fold {fold}, draw {draw}"}
    cfg = names | {"tracking": {}, "protocol": protocol, "subset": {} if draw is None else {"seed": draw}}
    return Job(cfg, manifest, {}, identity, run, overrides)


def printed(show: Any, width: int = 80, terminal: bool = False) -> str:
    file = io.StringIO()
    show(Console(file=file, width=width, force_terminal=terminal))
    return file.getvalue()


def test_each_score_stands_beside_the_constant_predictors(tmp_path: Path) -> None:
    made = job(tmp_path)
    text = printed(lambda console: print_run(made, console))
    cells = [line.split("  ") for line in text.splitlines()]
    rows = {words[0].strip(): [word.strip() for word in words[1:] if word.strip()] for words in cells}
    assert rows["MAE in ranks, expectation"] == ["0.500", "1.250 (median: a rather long name …)"]
    assert rows["accuracy"] == ["75.0 %", "25.0 % (majority: [bold])"]
    assert rows["within-1 accuracy"] == ["100.0 %", "50.0 % (majority: [bold])"]
    assert rows["QWK"] == ["-0.800", "0.000"]
    assert rows["ordinality of rank features"] == ["1.000", "0.700 by chance, 0.500 untrained"]
    assert text.splitlines()[0] == "dataset: 40 test images"
    assert text.splitlines()[-1] == f"run     {made.run.directory}"
    assert all(line == line.rstrip() for line in text.splitlines())


def test_intervals_are_told_where_there_are_any(tmp_path: Path) -> None:
    made = job(tmp_path)
    assert "% intervals" not in printed(lambda console: print_run(made, console))
    stats = made.run.read_json("test_stats.json") | {"test/coverage_90": 0.925, "test/interval_width_90": 1.96}
    (made.run.directory / "test_stats.json").write_text(json.dumps(stats))
    text = printed(lambda console: print_run(made, console))
    assert re.search(r"90 % intervals cover +92\.5 % +2\.0 of 3 ranks wide", text)


def test_a_long_directory_is_not_broken(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "[with] brackets"
    folder.mkdir(parents=True)
    made = job(folder)
    for terminal in (False, True):
        text = printed(lambda console: print_run(made, console), terminal=terminal)
        assert str(made.run.directory) in text


def test_a_run_without_results_prints_dashes(tmp_path: Path) -> None:
    text = printed(lambda console: print_run(job(tmp_path, mae=None), console))
    assert "–" in text
    assert "nan" not in text


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("sqlite:///runs/mlflow.db", "MLflow  make ui\n"),
        ("http://127.0.0.1:5000", "MLflow  http://127.0.0.1:5000\n"),
        ("sqlite:////far/off/mlflow.db", "MLflow  make ui STORE=/far/off/mlflow.db\n"),
        (None, ""),
    ],
)
def test_the_command_that_opens_the_store(uri: str | None, command: str) -> None:
    assert printed(lambda console: print_store({"tracking": {"uri": uri}}, console)) == command


def test_seeds_are_averaged_and_what_differs_is_told(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path, "epochs=2", "prompt=rank", "seed=0", mae=1.0, prompt="rank"),
        job(tmp_path, "epochs=2", "prompt=rank", "seed=1", mae=2.0, prompt="rank", seed=1),
        job(tmp_path, "epochs=2", "prompt=linear", "seed=0", mae=3.0, prompt="linear"),
        job(tmp_path, "epochs=2", "prompt=linear", "seed=1", mae=None, prompt="linear", seed=1),
        job(tmp_path, "epochs=2", "prompt=context", "seed=0", mae=None, prompt="context"),
    ]
    assert titles(jobs)[0] == "prompt=rank seed=0"
    text = printed(lambda console: print_sweep(jobs, console))
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["prompt"] == ["runs", "MAE", "%", "%", "QWK", "ordinality"]
    assert rows["rank"][:2] == ["2/2", "1.500±0.707"]
    assert rows["linear"][:3] == ["1/2", "3.000", "75.0"]
    assert rows["context"][:2] == ["0/1", "–"]
    assert max(map(len, text.splitlines())) <= 80


def test_settings_that_are_not_the_same_everywhere_share_a_column(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "prompt=rank", a=1), job(tmp_path, "prompt=rank", "lr=[1,2]", a=2)]
    text = printed(lambda console: print_sweep(jobs, console))
    assert " setting" in text
    assert " lr=[1,2] " in text


def test_one_setting_is_called_by_its_parts(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "seed=0"), job(tmp_path, "seed=1", seed=1)]
    assert " dataset-backbone-prompt " in printed(lambda console: print_sweep(jobs, console), width=100)
    assert " dataset-backbone-prompt " in printed(lambda console: print_sweep(jobs[:1], console))


def test_folds_are_averaged_like_seeds(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path, f"prompt={prompt}", f"dataset.fold={fold}", "seed=0", fold=fold, mae=1.0 + fold, prompt=prompt)
        for prompt in ("rank", "linear")
        for fold in (0, 1, 2)
    ]
    text = printed(lambda console: print_sweep(jobs, console))
    assert re.search(r"^ rank +3/3 +2\.000±1\.000 ", text, re.MULTILINE), text
    assert re.search(r"^ linear +3/3 +2\.000±1\.000 ", text, re.MULTILINE), text
    assert "over seeds and folds" in text
    # Another subset of the same folds is another experiment.
    few = job(tmp_path, "prompt=rank", "subset.shots=1", "dataset.fold=0", fold=0, mae=9.0, prompt="rank", few=True)
    few.cfg["subset"]["shots"] = 1
    assert len(sweep_rows([*jobs, few])) == 3


def test_seeds_are_averaged_where_the_data_follow_them(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path, f"prompt={prompt}", f"seed={seed}", seed=seed, draw=seed, mae=1.0 + seed, prompt=prompt)
        for prompt in ("rank", "linear")
        for seed in (0, 1, 2)
    ]
    text = printed(lambda console: print_sweep(jobs, console))
    assert re.search(r"^ rank +3/3 +2\.000±1\.000 ", text, re.MULTILINE), text
    assert len(sweep_rows(jobs)) == 2
    # So are draws under one seed; other data with one draw are told apart by their hash.
    draws = [job(tmp_path, f"subset.seed={draw}", draw=draw) for draw in (3, 4)]
    assert len(sweep_rows(draws)) == 1
    assert len(sweep_rows([job(tmp_path, "a"), job(tmp_path, "b", manifest="other")])) == 2


def test_what_was_selected_on_test_is_told_in_every_table(tmp_path: Path) -> None:
    on_test = job(tmp_path, "protocol=on_test", select_on="test", a=1)
    honest = job(tmp_path, "protocol=given", a=2)
    told = "selected on test: the run's epoch was chosen by its test scores"
    assert told in printed(lambda console: print_run(on_test, console))
    assert told not in printed(lambda console: print_run(honest, console))
    text = printed(lambda console: print_sweep([on_test, honest], console))
    assert re.search(r"^ on_test +1/1\* ", text, re.MULTILINE), text
    assert re.search(r"^ given +1/1 ", text, re.MULTILINE), text
    assert f"* {told}" in text
    assert told not in printed(lambda console: print_sweep([honest], console))
