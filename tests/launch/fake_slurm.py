"""SLURM's commands as scripts that record their arguments and run no job."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """#!{python} -SE
import json, pathlib, re, sys
sys.argv[0] = sys.argv[0].rpartition("/")[2]
books = pathlib.Path({books!r})
known = json.loads(books.read_text())
words = sys.argv[1:]
known["calls"].append(sys.argv)
if sys.argv[0] == "sbatch":
    text = pathlib.Path(words[-1]).read_text()
    if known["accepts"] is not None and len(known["jobs"]) >= known["accepts"]:
        print("sbatch: error: QOSMaxSubmitJobPerUserLimit", file=sys.stderr)
        books.write_text(json.dumps(known))
        sys.exit(1)
    array = re.search(r"--array=0-(\\d+)", text)
    job = str(17 + len(known["jobs"]))
    tasks = range(int(array.group(1)) + 1) if array else [None]
    known["jobs"][job] = {{job if task is None else f"{{job}}_{{task}}": "PENDING" for task in tasks}}
    print("Submitted batch job", job)
elif sys.argv[0] == "squeue":
    for word in words:
        if word.startswith("--jobs="):
            for name, state in known["jobs"].get(word[7:], {{}}).items():
                job, _, task = name.partition("_")
                print("".join(column.ljust(40) for column in (job, task or "N/A", state, "0", "")))
elif sys.argv[0] == "sacct":
    for tasks in known["jobs"].values():
        for name, state in tasks.items():
            for one in [*known["history"].get(name, []), state]:
                print(f"{{name}}|{{one}}|0:0|node1")
elif sys.argv[0] == "scancel":
    for tasks in known["jobs"].values():
        tasks.update({{name: "CANCELLED" for name in tasks if name in words}})
books.write_text(json.dumps(known))
"""


class FakeSlurm:
    """The books of a queue in which nothing moves by itself.

    Args:
        folder: for the scripts.
        monkeypatch: puts them on PATH.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.books = folder / "books.json"
        self._write({"jobs": {}, "history": {}, "calls": [], "accepts": None})
        script = _SCRIPT.format(python=sys.executable, books=str(self.books))
        for name in ("sbatch", "squeue", "sacct", "scancel", "srun"):
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def jobs(self) -> dict[str, dict[str, str]]:
        """Number → id of each task → its state."""
        found: dict[str, dict[str, str]] = self._read()["jobs"]
        return found

    def calls(self, program: str) -> list[list[str]]:
        """The words of each call of a program."""
        return [words[1:] for words in self._read()["calls"] if words[0] == program]

    def add(self, job: str, tasks: dict[str, str], history: dict[str, list[str]] | None = None) -> None:
        """Adds a job as if it had been submitted; its history is how earlier attempts of its tasks ended."""
        known = self._read()
        known["jobs"][job] = tasks
        known["history"] |= history or {}
        self._write(known)

    def set(self, slurm_id: str, state: str) -> None:
        """Changes the state of a task."""
        known = self._read()
        known["jobs"][slurm_id.partition("_")[0]][slurm_id] = state
        self._write(known)

    def accept(self, number: int) -> None:
        """Refuses all arrays after so many."""
        self._write(self._read() | {"accepts": number})

    def _read(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads(self.books.read_text())
        return known

    def _write(self, known: dict[str, Any]) -> None:
        self.books.write_text(json.dumps(known))
