"""Sweeps from the command line: all jobs are checked first, and an interrupted sweep is resumed.

Each test trains in processes of the command line, which takes seconds.
"""

import json
import re
import signal
from pathlib import Path

import pytest

from ordinalclip.runs.run import Run, find_runs
from tests.run_cli import SMALL, command, start, train, wait_for

pytestmark = pytest.mark.slow


def states(folder: Path) -> list[str]:
    return [run.state() for run in find_runs(folder / "runs")]


def files_of_finished(folder: Path) -> dict[Path, int]:
    """File → time of its last change, of runs that are done."""
    done = [run for run in find_runs(folder / "runs") if run.state() == "finished"]
    return {path: path.stat().st_mtime_ns for run in done for path in run.directory.rglob("*") if path.is_file()}


def test_one_process_one_table_and_nothing_the_second_time(tmp_path: Path) -> None:
    words = [*SMALL, "prompt=rank,context,linear", "-m", "seed=0,1", "sweep=first"]
    first = train(tmp_path, *words)
    assert first.returncode == 0, first.stderr
    assert states(tmp_path) == ["finished"] * 6
    lines = first.stderr.splitlines()
    assert lines[0] == "6 runs: 6 new"
    assert lines[1:7] == [
        f"run {2 * place + seed + 1}: prompt={prompt} seed={seed}"
        for place, prompt in enumerate(("rank", "context", "linear"))
        for seed in (0, 1)
    ]
    assert len(lines) == 7
    assert not re.search(r"[\r\x1b]", first.stdout + first.stderr)
    rows = re.findall(r"^ (rank|context|linear) +2/2 +\d\.\d+±\d\.\d+", first.stdout, re.MULTILINE)
    assert rows == ["rank", "context", "linear"]
    assert max(map(len, first.stdout.splitlines())) <= 80

    kept = files_of_finished(tmp_path)
    again = command(tmp_path, *words)
    assert again.returncode == 0
    assert again.stderr == "6 runs: 6 finished\nimported:\n"
    assert again.stdout == first.stdout
    assert files_of_finished(tmp_path) == kept

    # A sweep's file names its runs, and a later one of the same name adds to it.
    train(tmp_path, *SMALL, "-m", "prompt=linear", "seed=1,2", "sweep=first")
    noted = json.loads((tmp_path / "runs" / "sweeps" / "first.json").read_text())
    assert sorted(noted["runs"]) == [run.directory.name for run in find_runs(tmp_path / "runs")]
    assert len(noted["runs"]) == 7


@pytest.mark.parametrize(("stop", "num_begun"), [(signal.SIGKILL, 2), (signal.SIGINT, 1), (signal.SIGINT, 2)])
def test_an_interrupted_sweep_does_only_what_is_missing(tmp_path: Path, stop: signal.Signals, num_begun: int) -> None:
    words = [*SMALL, "epochs=12", "-m", "prompt=rank,linear", "seed=0,1"]
    with start(tmp_path, *words) as process:
        # Between two runs, or in the second.
        wait_for(lambda: "finished" in states(tmp_path) and len(states(tmp_path)) >= num_begun, process)
        process.send_signal(stop)
        _, err = process.communicate(timeout=300)
    assert process.returncode == (-9 if stop == signal.SIGKILL else 130), err
    if stop == signal.SIGINT:
        assert "Traceback" not in err
        assert re.search(r"^[123] of 4 runs are finished$", err, re.MULTILINE), err
        assert "interrupted; the same command, typed again, goes on from here" in err
    kept = files_of_finished(tmp_path)
    num_kept = sum(path.name == "status.json" for path in kept)
    assert 1 <= num_kept < 4

    again = train(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert states(tmp_path) == ["finished"] * 4
    assert files_of_finished(tmp_path).items() >= kept.items()
    assert again.stderr.startswith(f"4 runs: {num_kept} finished")
    assert len(re.findall(r"^run \d", again.stderr, re.MULTILINE)) == 4 - num_kept


def test_one_failing_run_does_not_keep_the_others_from_finishing(tmp_path: Path) -> None:
    done = train(tmp_path, *SMALL, "-m", "trainable.rank=1e30,1e-3", "seed=0,1")
    assert done.returncode == 1
    assert sorted(states(tmp_path)) == ["failed", "failed", "finished", "finished"]
    assert "error: 2 of 4 runs failed; each one's run.log has the traceback:" in done.stderr
    assert "Traceback" not in done.stderr
    for run in find_runs(tmp_path / "runs"):
        if run.state() == "failed":
            assert f"    {run.directory / 'run.log'}" in done.stderr.splitlines()
            assert "FloatingPointError" in (run.directory / "run.log").read_text()
    assert re.search(r"^ 1e\+30 +0/2 +– ", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^ 0.001 +2/2 +\d", done.stdout, re.MULTILINE), done.stdout


def test_rerun_archives_and_repeats(tmp_path: Path) -> None:
    words = [*SMALL, "prompt=linear"]
    assert train(tmp_path, *words, "-m").returncode == 0  # draws no figures
    (first,) = find_runs(tmp_path / "runs")
    stats = first.read_json("test_stats.json")
    for repeat in (["rerun=true"], ["rerun=true", "-m"]):
        again = train(tmp_path, *words, *repeat)
        assert again.returncode == 0, again.stderr
        assert "archived to" in again.stderr
    archived = list((tmp_path / "runs" / "archive").iterdir())
    assert len(archived) == 2
    assert all(Run(path).read_json("test_stats.json") == stats for path in archived)
    assert first.read_json("test_stats.json") == stats


def test_two_processes_with_one_configuration(tmp_path: Path) -> None:
    words = [*SMALL, "epochs=2000", "prompt=rank"]
    runs = tmp_path / "runs"
    with start(tmp_path, *words) as first:
        wait_for(lambda: any(run.status().get("epoch") for run in find_runs(runs)), first)
        (run,) = find_runs(runs)
        second = train(tmp_path, *words)
        assert second.returncode == 1
        assert second.stderr.startswith(f"error: {run.directory.name}: process {first.pid} on "), second.stderr
        assert "nothing was done here" in second.stderr
        assert second.stdout == ""

        sweep = train(tmp_path, *words, "epochs=2000,1", "-m")
        assert sweep.returncode == 0, sweep.stderr
        assert f"left to the process that works on it: {run.directory.name}" in sweep.stderr
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=300)
    assert first.returncode == 130
    assert run.state() == "interrupted"


def test_a_sweep_of_the_folder_brings_its_axes(tmp_path: Path) -> None:
    first = train(tmp_path, *SMALL, "sweep=few_shot", "seed=3", "epochs=1")
    assert first.returncode == 0, first.stderr
    assert first.stderr.startswith("sweep few_shot: subset.shots=1,2,4,8,16,32,64\n"), first.stderr
    rows = re.findall(r"^ (\d+) +1/1 +\d", first.stdout, re.MULTILINE)
    # There are fewer than 8 training images a rank, so that from there on it is one and the same run.
    assert rows == ["1", "2", "4", "8"]
    assert first.stderr.count("few-shot: 2 training images a rank") == 1  # not at every run again
    assert "3 of 7 jobs have the run id of another one, and are left out" in first.stderr
    noted = json.loads((tmp_path / "runs" / "sweeps" / "few_shot.json").read_text())
    assert len(noted["runs"]) == 4
    assert len(list((tmp_path / ".cache" / "features").rglob("features.npy"))) == 1

    typed = train(tmp_path, *SMALL, "-m", "sweep=few_shot", "seed=3", "epochs=1", "subset.shots=2,4")
    assert "sweep few_shot: subset.shots=2,4\n2 runs: 2 finished\n" in typed.stderr


def test_a_sweep_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "own" / "sweep").mkdir(parents=True)
    axes = "  sweeper:\n    params:\n      lr: [1e-3, 2e-3]\n      prompt: rank,linear\n"
    text = f"# @package _global_\n# rates\nsweep_name: rates\nepochs: 1\nhydra:\n{axes}"
    (tmp_path / "own" / "sweep" / "rates.yaml").write_text(text)
    words = [word for word in SMALL if not word.startswith("epochs=")]
    done = train(tmp_path, *words, "--config-dir", "own", "sweep=rates", "prompt=context")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("sweep rates: lr=0.001,0.002\n2 runs: 2 new\n"), done.stderr
    assert [run.read_json("labels.json")["sweep"] for run in find_runs(tmp_path / "runs")] == ["rates"] * 2
