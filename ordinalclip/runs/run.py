"""The directory of a run: the record of one experiment, and the only place of its state.

runs/<readable>-<run_id>/
    config.yaml, identity.json      what it is; the id is a hash of identity.json
    status.json, attempts/          how far it is, and who works on it
    metrics.jsonl                   every logged value with its time, appended
    provenance.json, run.log        code, versions and machine that made it
    ckpt/, *_stats.json, …          its results
    SHA256SUMS                      sums of the files that the model is opened from

A damaged or exchanged file is refused when a finished run is opened. The sums are no signature: whoever can write a
record can write its sums.
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

_FILES = (
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
        """The hash of what determines the result."""
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
        """Content of status.json, empty for a new run."""
        return self.read_json("status.json") or {}

    def state(self) -> State:
        """The recorded state, corrected if the process that wrote it is dead."""
        status = self.status()
        if not status:
            return "running" if self.directory.exists() and living_attempt(self.directory) else "new"
        if status["status"] == "running":
            return "running" if living_attempt(self.directory) else "interrupted"
        return status["status"]

    def read_json(self, name: str) -> Any:
        """A JSON file of the record, or None where it is missing or torn."""
        try:
            return json.loads((self.directory / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Lines of metrics.jsonl in the order written; a torn line (a kill, a full disk) is passed over."""
        with contextlib.suppress(FileNotFoundError), (self.directory / "metrics.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def claim(self) -> Lease:
        """Takes the right to write.

        Raises:
            Busy: when a living process has it.
            ConfigError: the folder of the runs cannot be written to.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.lease = Lease(self.directory)
        except OSError as error:
            raise ConfigError("paths.runs", str(self.directory.parent), f"cannot be written to ({error})") from error
        for draft in self.directory.rglob(".[0-9]*-*"):  # of attempts that were killed; a checkpoint's may be large
            draft.unlink(missing_ok=True)
        return self.lease

    def archive(self) -> Path | None:
        """Moves the directory aside, under `archive/` beside it; None where there is nothing to move.

        It is claimed for that, so that two processes never move it at once, or away from under one that writes.

        Raises:
            Busy: when a living process has it.
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
        """Writes a file of the record whole or not at all, if this process still owns the run."""
        self.publish(name, lambda draft: draft.write_text(content, encoding="utf-8"))

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file of the record."""
        self.write(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def publish(self, name: str, make: Any) -> Path:
        """Has `make(draft_path)` write a draft, then puts it in place in one step.

        Args:
            name: path below the run's directory.
            make: called with the draft's path, which has the same suffix.

        Raises:
            Superseded: when a newer attempt owns the run; the draft is removed.
            OSError: it cannot be written (a full disk, say); what was there is kept, the draft is removed.
        """
        target = self.directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{self._owner().number:04d}-{target.name}")
        try:
            with explain_write_errors(draft, target):
                make(draft)
                _to_disk(draft)
            self._owner().check()
            with explain_write_errors(draft, target):
                os.replace(draft, target)
        except OSError:
            self._owner().check()  # a newer attempt sweeps away the drafts of older ones
            raise
        finally:
            draft.unlink(missing_ok=True)
        return target

    def set_status(self, status: str, **facts: Any) -> None:
        """Writes status.json: what was there, with `status` and the given facts on top.

        Raises:
            Superseded: when a newer attempt owns the run.
            OSError: it cannot be written, not even in place of the old one.
        """
        lease = self._owner()
        kept = {k: v for k, v in self.status().items() if k not in ("error", "why", "traceback_tail")}
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        first = {"created": now} if "created" not in kept else {}
        content = kept | first | {"status": status, "updated": now, "attempt": lease.number} | facts
        try:
            self.write_json("status.json", content)
        except OSError as error:  # a full disk is reported, too
            lease.check()
            try:
                overwrite_in_place(self.directory / "status.json", json.dumps(content, ensure_ascii=False) + "\n")
            except OSError:
                raise error from None

    def epochs_done(self) -> int:
        """How many epochs its checkpoint holds."""
        return int(self.status().get("epoch", 0))

    def log_metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        """Appends one line to metrics.jsonl; of several lines for one step the last counts."""
        self._owner().check()
        path = self.directory / "metrics.jsonl"
        line = json.dumps({"time_ms": int(time.time() * 1000), "epoch": epoch, "step": step, "values": dict(values)})
        with explain_write_errors(path, path), path.open("a+b") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b"\n"  # a kill or a full disk cut the last line short
                line = "\n" + line if torn else line
            file.write(line.encode() + b"\n")

    def release(self, outcome: str) -> None:
        """Gives the right to write back."""
        if self.lease is not None:
            self.lease.release(outcome)
            self.lease = None

    def _owner(self) -> Lease:
        if self.lease is None:
            raise Superseded(f"{self.directory}: written to without a claim")
        return self.lease


def _to_disk(path: Path) -> None:
    """Waits until a file's content has left the page cache: a rename may survive a power cut that content does not."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def find_runs(root: Path) -> list[Run]:
    """All runs below `root`, by name."""
    return [Run(path.parent) for path in sorted(root.glob("*/identity.json"))]


def write_record_sums(run: Run) -> None:
    """Writes SHA256SUMS over what a claimed run is opened from; the last thing before it is called finished."""
    run.write(SUMS, format_sums(run.directory, _there(run)))


def check_record_sums(run: Run) -> None:
    """Compares a finished run's files with its sums; a run by an older version has none.

    Raises:
        DataError: a file is missing, truncated or another than was written, or the sums name one of them no more.
    """
    if (run.directory / SUMS).is_file():
        remedy = "copy the run's directory anew, or type its command with rerun=true"
        check_sums(run.directory, _there(run), remedy)


def _there(run: Run) -> list[str]:
    return [name for name in _FILES if (run.directory / name).is_file()]
