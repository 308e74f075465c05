import os
from pathlib import Path

import pytest

from launch.slurm_outcome import JobOutcome, has_accounting, query_accounting, query_queue


@pytest.mark.parametrize(
    ("state", "exit_code", "words"),
    [
        ("TIMEOUT", "0:0", "reached its time limit and was not requeued on n1"),
        ("OUT_OF_MEMORY", "0:125", "ran out of memory (cluster.mem_gb) on n1"),
        ("CANCELLED", "0:15", "was cancelled on n1"),
        ("NODE_FAIL", "1:0", "lost its node and was not requeued on n1"),
        ("PREEMPTED", "0:0", "was preempted and not requeued on n1"),
        ("FAILED", "1:0", "failed with exit code 1 on n1"),
        ("FAILED", "3:0", "failed with exit code 3 on n1"),
        ("FAILED", "", "failed with exit code ? on n1"),
        ("FAILED", "0:9", "was killed by signal 9; was there too little memory? on n1"),
        ("FAILED", "9:0", "was killed by signal 9; was there too little memory? on n1"),
        ("FAILED", "137:0", "was killed by signal 9; was there too little memory? on n1"),
        ("FAILED", "139:0", "was killed by signal 11 on n1"),
        ("FAILED", "130:0", "failed with exit code 130 on n1"),
    ],
)
def test_ends_are_told_apart(state: str, exit_code: str, words: str) -> None:
    outcome = JobOutcome(state, exit_code, "n1")
    assert outcome.is_over
    assert str(outcome) == words


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED"])
def test_these_may_go_on(state: str) -> None:
    assert not JobOutcome(state).is_over


def command(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_queue_is_read_by_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("7", "0", "FAILED", "768", "n1"), ("7", "1", "PENDING", "0", ""), ("8", "N/A", "FAILED", "9", "n[1-2]")]
    text = "\\n".join("".join(f"{word:40}" for word in row) for row in rows)
    command(tmp_path, "squeue", f"printf '{text}\\n'", monkeypatch)
    assert query_queue(["7"]) == {
        "7_0": JobOutcome("FAILED", "3:0", "n1"),
        "7_1": JobOutcome("PENDING", "0:0", ""),
        "8": JobOutcome("FAILED", "0:9", "n[1-2]"),
    }
    command(tmp_path, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", monkeypatch)
    assert query_queue(["7"]) == {}
    command(tmp_path, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1", monkeypatch)
    assert query_queue(["7"]) is None


def test_the_accounts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path, "sacct", "echo '7_1|CANCELLED by 0|0:15|n2'", monkeypatch)
    assert query_accounting(["7_1"]) == {"7_1": JobOutcome("CANCELLED", "0:15", "n2")}
    assert has_accounting()
    command(tmp_path, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1", monkeypatch)
    assert query_accounting(["7_1"]) is None
    assert not has_accounting()
