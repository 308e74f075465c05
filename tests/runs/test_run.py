import json
import subprocess
import sys
from pathlib import Path

import pytest

from ordinalclip.errors import Busy, Superseded
from ordinalclip.runs.run import Run, find_runs


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "elpv-mini-rank-s0-0123456789")


def test_a_run_goes_from_new_to_finished(run: Run) -> None:
    assert run.run_id == "0123456789"
    assert run.state() == "new"
    run.claim()
    run.set_status("running", epoch=1)
    assert run.state() == "running"
    run.set_status("finished")
    run.release("finished")
    assert run.state() == "finished"
    assert run.status()["epoch"] == 1


def test_running_status_of_a_dead_process_is_interrupted(run: Run) -> None:
    run.claim()
    run.set_status("running")
    run.release("killed")
    assert run.state() == "interrupted"


def test_a_status_without_error_forgets_the_old_error(run: Run) -> None:
    run.claim()
    run.set_status("failed", error="ValueError: x")
    assert run.status()["error"] == "ValueError: x"
    run.set_status("running")
    assert "error" not in run.status()


def test_writing_needs_a_claim(run: Run) -> None:
    with pytest.raises(Superseded):
        run.write("x.txt", "…")


def test_superseded_writer_changes_no_file(run: Run) -> None:
    run.claim()
    run.write("x.txt", "first")
    (run.directory / "attempts" / "0002.json").write_text("{}")
    with pytest.raises(Superseded):
        run.write("x.txt", "second")
    with pytest.raises(Superseded):
        run.log_metrics({"a": 1.0}, epoch=0, step=1)
    assert (run.directory / "x.txt").read_text() == "first"
    assert [p.name for p in run.directory.iterdir() if p.is_file()] == ["x.txt"]


def test_failed_write_leaves_the_old_file_and_no_draft(run: Run) -> None:
    run.claim()
    run.write("x.txt", "first")

    def torn(draft: Path) -> None:
        draft.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run.publish("x.txt", torn)
    assert (run.directory / "x.txt").read_text() == "first"
    assert [p.name for p in run.directory.iterdir() if p.is_file()] == ["x.txt"]


def test_metrics_survive_a_torn_line(run: Run) -> None:
    run.claim()
    run.log_metrics({"val/mae": 1.0}, epoch=0, step=10)
    with (run.directory / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 1, "val')
    run.log_metrics({"val/mae": 0.5}, epoch=1, step=20)
    assert [(line["epoch"], line["values"]) for line in run.metrics()] == [(0, {"val/mae": 1.0}), (1, {"val/mae": 0.5})]


def test_archive_moves_the_record_aside(run: Run) -> None:
    assert run.archive() is None
    run.claim()
    run.write("x.txt", "kept")
    run.release("finished")
    archived = run.archive()
    assert archived is not None
    assert (archived / "x.txt").read_text() == "kept"
    assert run.state() == "new"


def test_two_objects_of_one_run_do_not_both_write(run: Run) -> None:
    run.claim()
    with pytest.raises(Busy):
        Run(run.directory).claim()


def test_find_runs(run: Run, tmp_path: Path) -> None:
    run.claim()
    run.write_json("identity.json", {})
    (tmp_path / "sweeps").mkdir()
    assert [found.directory for found in find_runs(tmp_path)] == [run.directory]
    assert json.loads((run.directory / "identity.json").read_text()) == {}


def test_drafts_of_a_killed_attempt_are_swept_away(run: Run) -> None:
    run.claim()
    run.write("ckpt/last.ckpt", "whole")
    run.release("killed")
    (run.directory / "ckpt" / ".0001-last.ckpt").write_text("half")
    run.claim()
    assert [path.name for path in (run.directory / "ckpt").iterdir()] == ["last.ckpt"]


def test_the_record_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from ordinalclip.runs.run import Run
run = Run(Path(sys.argv[1]))
run.claim()
run.set_status("failed", error="größe –")
assert run.status()["error"] == "größe –"
run.release("failed")
"""
    warns = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]
    command = [sys.executable, *warns, "-c", code, str(tmp_path / "a-1")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
