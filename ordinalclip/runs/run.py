"""The directory of a run: the record of one experiment and the only place of its state.

runs/<readable>-<run_id>/
    config.yaml, identity.json      the configuration; the run id is a hash of identity.json
    status.json, attempts/          progress, and the processes that worked on it
    metrics.jsonl                   every logged value with its time, appended
    provenance.json, run.log        code, package versions and machine
    ckpt/, *_stats.json, …          results
    SHA256SUMS                      checksums of the files that the model is loaded from

When a finished run is opened, a damaged or exchanged file is refused. The checksums are not a signature: a process that
can write the record can write them, too.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ordinalclip.errors import ConfigError, Superseded
from ordinalclip.runs.leases import Lease, living_attempt
from ordinalclip.system.checksums import SUMS, check_sums, format_sums
from ordinalclip.system.files import explain_write_errors, overwrite_in_place

State = Literal["new", "running", "finished", "failed", "interrupted"]

_MODEL_FILES = (
    "config.yaml",
    "identity.json",
    "ranks.json",
    "labels.json",
    "calibration.json",
    "rank_features.safetensors",
    "ckpt/best.ckpt",
)


class Run:
    """One run's directory, for reading; `claim` gives the right to write.

    Args:
        directory: `runs/<readable>-<run_id>`, which need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lease: Lease | None = None

    @property
    def run_id(self) -> str:
        """The hash of everything that determines the result."""
        return self.directory.name.rpartition("-")[2]

    @property
    def last_checkpoint(self) -> Path:
        """Written at the end of every epoch."""
        return self.directory / "ckpt" / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """The epoch with the best validation score."""
        return self.directory / "ckpt" / "best.ckpt"

    def status(self) -> dict[str, Any]:
        """Returns the content of status.json, empty for a new run."""
        return self.read_json("status.json") or {}

    def state(self) -> State:
        """Returns the recorded state; a running run whose process has died is "interrupted"."""
        status = self.status()
        if not status:
            return "running" if self.directory.exists() and living_attempt(self.directory) else "new"
        if status["status"] == "running":
            return "running" if living_attempt(self.directory) else "interrupted"
        return status["status"]

    def read_json(self, name: str) -> Any:
        """Returns the content of a JSON file of the record, or None if it is missing or incomplete."""
        try:
            return json.loads((self.directory / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Yields the lines of metrics.jsonl in order. A line that a kill or a full disk cut short is skipped."""
        with contextlib.suppress(FileNotFoundError), (self.directory / "metrics.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def claim(self) -> Lease:
        """Takes the lease of the run, which is needed to write, and removes drafts of earlier attempts.

        Raises:
            Busy: another process holds it.
            ConfigError: the folder of the runs cannot be written to.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.lease = Lease(self.directory)
        except OSError as error:
            raise ConfigError("paths.runs", str(self.directory.parent), f"cannot be written to ({error})") from error
        for draft in self.directory.rglob(".[0-9]*-*"):
            draft.unlink(missing_ok=True)
        return self.lease

    def archive(self) -> Path | None:
        """Claims the run, moves its directory to `archive/` beside it, and returns the new path.

        Returns:
            None if the run has no directory.

        Raises:
            Busy: another process works on the run.
        """
        if not self.directory.exists():
            return None
        lease = self.claim()
        archive = self.directory.parent / "archive"
        archive.mkdir(exist_ok=True)
        name = f"{self.directory.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        taken = len(list(archive.glob(f"{name}*")))  # within this second
        place = archive / (f"{name}-{taken}" if taken else name)
        self.directory.rename(place)
        lease.follow(place)
        self.release("archived")
        return place

    def write(self, name: str, content: str) -> None:
        """Writes a text file of the record, completely or not at all. Raises as `publish`."""
        self.publish(name, lambda draft: draft.write_text(content, encoding="utf-8"))

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file of the record. Raises as `publish`."""
        self.write(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def publish(self, name: str, make: Any) -> Path:
        """Lets `make(draft)` write a draft, checks the lease, and renames the draft to its final name.

        Args:
            name: path below the run's directory.
            make: called with the draft's path, which has the same suffix.

        Raises:
            Superseded: a newer attempt owns the run. The draft is removed.
            OSError: the file cannot be written, as on a full disk. The old file is kept, the draft is removed.
        """
        target = self.directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{self._owner().number:04d}-{target.name}")
        try:
            with explain_write_errors(draft, target):
                make(draft)
                _flush_to_disk(draft)
            self._owner().check()
            with explain_write_errors(draft, target):
                os.replace(draft, target)
        except OSError:
            self._owner().check()  # a newer attempt removes the drafts of older ones
            raise
        finally:
            draft.unlink(missing_ok=True)
        return target

    def set_status(self, status: str, **facts: Any) -> None:
        """Updates status.json with a status and further facts.

        Raises:
            Superseded: a newer attempt owns the run.
            OSError: the file can be neither replaced nor overwritten in place.
        """
        lease = self._owner()
        kept = {k: v for k, v in self.status().items() if k not in ("error", "why", "traceback_tail")}
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        first = {"created": now} if "created" not in kept else {}
        content = kept | first | {"status": status, "updated": now, "attempt": lease.number} | facts
        try:
            self.write_json("status.json", content)
        except OSError as error:  # on a full disk the status is still recorded
            lease.check()
            try:
                overwrite_in_place(self.directory / "status.json", json.dumps(content, ensure_ascii=False) + "\n")
            except OSError:
                raise error from None

    def epochs_done(self) -> int:
        """Returns the number of finished epochs."""
        return int(self.status().get("epoch", 0))

    def log_metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        """Appends a line to metrics.jsonl. Of several lines with the same step, the last one counts."""
        self._owner().check()
        path = self.directory / "metrics.jsonl"
        line = json.dumps({"time_ms": int(time.time() * 1000), "epoch": epoch, "step": step, "values": dict(values)})
        with explain_write_errors(path, path), path.open("a+b") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                cut_short = file.read(1) != b"\n"  # by a kill or a full disk
                line = "\n" + line if cut_short else line
            file.write(line.encode() + b"\n")

    def release(self, outcome: str) -> None:
        """Releases the lease, if this process holds it."""
        if self.lease is not None:
            self.lease.release(outcome)
            self.lease = None

    def _owner(self) -> Lease:
        if self.lease is None:
            raise Superseded(f"{self.directory}: written to without a claim")
        return self.lease


def _flush_to_disk(path: Path) -> None:
    """Flushes a file to disk: after a power cut a rename may survive while unflushed content is lost."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def find_runs(root: Path) -> list[Run]:
    """Returns all runs below `root`, sorted by name."""
    return [Run(path.parent) for path in sorted(root.glob("*/identity.json"))]


def write_record_sums(run: Run) -> None:
    """Writes the SHA256SUMS of a claimed run; the last step before its status becomes finished."""
    run.write(SUMS, format_sums(run.directory, _model_files(run)))


def check_record_sums(run: Run) -> None:
    """Compares the files of a finished run with its SHA256SUMS. Runs of older versions have none and pass.

    Raises:
        DataError: a file is missing, differs from the one that was written, or is not listed.
    """
    if (run.directory / SUMS).is_file():
        remedy = "copy the run's directory anew, or type its command with rerun=true"
        check_sums(run.directory, _model_files(run), remedy)


def _model_files(run: Run) -> list[str]:
    return [name for name in _MODEL_FILES if (run.directory / name).is_file()]
