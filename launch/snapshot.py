"""A copy of the code as it is now, for jobs that start later: what is edited while they wait does not change them.

`<runs>/sweeps/.code/<commit>-<hash of the content>/` holds ordinalclip/, launch/, analysis/ and conf/ as a checkout has
them, the user's own folders with options, `SNAPSHOT.json` (which commit and changes it is of) and `code.diff`. Equal
code is copied once.
"""

import contextlib
import hashlib
import json
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission

from ordinalclip.config.compose import conf_dir
from ordinalclip.runs.provenance import SNAPSHOT, code_diff, code_version
from ordinalclip.system import PACKAGE
from ordinalclip.system.interruption import Stopped
from ordinalclip.system.slurm import own_job

_FOLDERS = ("ordinalclip", "launch", "analysis", "conf")
_NOT_CODE = ("__pycache__",)


@dataclass(frozen=True)
class Snapshot:
    """A copy of the code.

    Attributes:
        folder: where it lies.
        config_dirs: the copies of the user's own folders with options, in the order given.
    """

    folder: Path
    config_dirs: tuple[Path, ...] = ()

    @property
    def pythonpath(self) -> str:
        """What a job's PYTHONPATH starts with; the second folder is where Hydra finds our plugins."""
        return f"{self.folder}{os.pathsep}{self.folder / 'launch'}"

    @property
    def setup(self) -> list[str]:
        """Lines of shell that make a job run this code; `python -m` would look in the current folder first."""
        return [
            f'export PYTHONPATH={shlex.quote(self.pythonpath)}"${{PYTHONPATH:+:$PYTHONPATH}}"',
            "export PYTHONSAFEPATH=1",
        ]


def take_snapshot(runs: Path, config_dirs: Sequence[Path] = (), package: Path = PACKAGE) -> Snapshot:
    """Copies the code that is running, unless a copy of the same is there.

    Args:
        runs: the folder of the runs.
        config_dirs: the user's own folders with options.
        package: the folder of the package `ordinalclip`, in a checkout or installed.
    """
    files = _code_files(package)
    for number, folder in enumerate(config_dirs):
        files |= _below(folder, f"config_dirs/{number}", skip_hidden=True)
    code = code_version()
    name = f"{(code['git'] or code['version'])[:12]}-{_hash(files)}"
    folder = (runs / "sweeps" / ".code" / name).absolute()
    if not folder.is_dir():
        _copy(files, folder, json.dumps(code, indent=2, ensure_ascii=False) + "\n", code_diff())
    return Snapshot(folder, tuple(folder / f"config_dirs/{number}" for number in range(len(config_dirs))))


def _code_files(package: Path) -> dict[str, Path]:
    """Path in the snapshot → file of the running code."""
    root = package.parent
    listed = _listed_by_git(root) if conf_dir(package).parent == root else None
    if listed is not None:
        local = _below(root / "conf" / "local", "conf/local")  # outside git, and yet what jobs are composed with
        return {name: root / name for name in listed if (root / name).is_file()} | local
    files = _below(conf_dir(package), "conf")
    for name in ("ordinalclip", "launch", "analysis"):
        files |= {path: file for path, file in _below(root / name, name).items() if "/conf/" not in path}
    # A wheel's plugins lie beside those of other packages.
    plugins = root / "hydra_plugins"
    return files | {f"launch/hydra_plugins/{file.name}": file for file in plugins.glob("ordinalclip_*.py")}


def _listed_by_git(root: Path) -> list[str] | None:
    """Tracked and new files of the code in a checkout; None where it is none."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *_FOLDERS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    names = [name for name in done.stdout.split("\0") if name]
    return names if done.returncode == 0 and "ordinalclip/__init__.py" in names else None


def _below(folder: Path, name: str, *, skip_hidden: bool = False) -> dict[str, Path]:
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = skip_hidden and any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and not set(parts) & {*_NOT_CODE}:
            found["/".join((name, *parts))] = path
    return found


def _hash(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def _copy(files: Mapping[str, Path], folder: Path, about: str, diff: bytes) -> None:
    """Makes the folder whole or not at all; another process that makes the same one does no harm."""
    draft = folder.with_name(f".{folder.name}-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}")
    try:
        for name, file in files.items():
            target = draft / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        (draft / SNAPSHOT).write_text(about, encoding="utf-8")
        if diff:
            (draft / "code.diff").write_bytes(diff)
        with contextlib.suppress(FileExistsError, NotADirectoryError):  # the same code, made by somebody else meanwhile
            draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


# MERGED: """What runs on a node: one run, from its configuration as plain data.
#
# Submitit starts it, and again when the job was requeued. Nothing but that data is kept between two starts: how far the
# run is, its own directory says.
# """


log = logging.getLogger("ordinalclip")

_SUPERSEDED = 75  # exit code of a process whose run was given to another one


class Task:
    """Brings one run to its end; pickled by reference, so that a job runs the code that its PYTHONPATH names."""

    def __call__(self, cfg: dict[str, Any], overrides: Sequence[str]) -> str:
        """Trains, tests and records.

        Args:
            cfg: from `ordinalclip.config.compose.plain`.
            overrides: what was typed for it, for the record.

        Returns:
            "finished", or what another process is doing.

        Raises:
            Exception: whatever the run failed of; submitit prints it, and the job fails.
        """
        # Imported here, so that a job that is told to stop while it starts is still submitit's to requeue.
        from ordinalclip.cli.command import log_to_terminal
        from ordinalclip.execution.job import register_finished, run_job
        from ordinalclip.preparation.prepare import prepare
        from ordinalclip.runs.leases import Busy, Superseded

        log_to_terminal()
        try:
            job = prepare(cfg, tuple(overrides))
            run_job(job, in_sweep=True)
            register_finished([job])  # nobody may be there to do so for the sweep
        except Busy as busy:
            log.info("nothing was done here: %s", busy)
            return str(busy)
        except Superseded as error:
            # Not as an exception: submitit would write it down as the outcome of the job, which runs elsewhere.
            log.info("%s", error)
            sys.exit(_SUPERSEDED)
        except Stopped as stop:
            _stop(stop)
        return "finished"

    def checkpoint(self, cfg: dict[str, Any], overrides: Sequence[str]) -> DelayedSubmission:
        """What submitit starts after a requeue: the same."""
        return DelayedSubmission(self, cfg, overrides)


def _stop(stop: Stopped) -> None:
    """Ends a job that was asked to stop; it is requeued unless SLURM does so, or it was cancelled."""
    # Submitit's own signal is for what is to go on; what the others mean, only SLURM knows.
    # A job says RUNNING also where a preemption has given it a while.
    if stop.by == signal.SIGUSR2 or own_job().get("JobState") == "RUNNING":
        signal.raise_signal(signal.SIGUSR2)
    sys.exit(stop.code)
