"""Snapshots of the code for queued jobs: edits made while a job waits do not change what it runs.

`<runs>/sweeps/.code/<commit>-<hash of the content>/` holds ordinalclip/, launch/, analysis/ and conf/ as in a checkout,
the directories given by --config-dir, `SNAPSHOT.json` (commit and version) and `code.diff` (uncommitted changes).
Identical code is copied once.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ordinalclip.config.compose import conf_dir
from ordinalclip.runs.provenance import SNAPSHOT, code_diff, code_version
from ordinalclip.system import PACKAGE

_PACKAGES = ("ordinalclip", "launch", "analysis")


@dataclass(frozen=True)
class Snapshot:
    """A copy of the code.

    Attributes:
        folder: the copy.
        config_dirs: copies of the directories given by --config-dir, in the order given.
    """

    folder: Path
    config_dirs: tuple[Path, ...] = ()

    @property
    def pythonpath(self) -> str:
        """The start of a job's PYTHONPATH; Hydra finds the plugins in the second folder."""
        return f"{self.folder}{os.pathsep}{self.folder / 'launch'}"

    @property
    def setup(self) -> list[str]:
        """Shell lines that make a job run this code; PYTHONSAFEPATH keeps the current folder from coming first."""
        return [
            f'export PYTHONPATH={shlex.quote(self.pythonpath)}"${{PYTHONPATH:+:$PYTHONPATH}}"',
            "export PYTHONSAFEPATH=1",
        ]


def take_snapshot(runs: Path, config_dirs: Sequence[Path] = (), package: Path = PACKAGE) -> Snapshot:
    """Copies the running code, unless there is a copy of the same content.

    Args:
        runs: the folder of the runs.
        config_dirs: directories given by --config-dir.
        package: the folder of the package `ordinalclip`, in a checkout or installed.
    """
    files = _code_files(package)
    for number, folder in enumerate(config_dirs):
        files |= _files_below(folder, f"config_dirs/{number}", skip_hidden=True)
    code = code_version()
    name = f"{(code['git'] or code['version'])[:12]}-{_hash(files)}"
    folder = (runs / "sweeps" / ".code" / name).absolute()
    if not folder.is_dir():
        _copy(files, folder, json.dumps(code, indent=2, ensure_ascii=False) + "\n", code_diff())
    return Snapshot(folder, tuple(folder / f"config_dirs/{number}" for number in range(len(config_dirs))))


def _code_files(package: Path) -> dict[str, Path]:
    """Returns path in the snapshot → file of the running code."""
    root = package.parent
    listed = _listed_by_git(root) if conf_dir(package).parent == root else None
    if listed is not None:
        local = _files_below(root / "conf" / "local", "conf/local")  # ignored by git, but used to compose jobs
        return {name: root / name for name in listed if (root / name).is_file()} | local
    files = _files_below(conf_dir(package), "conf")
    for name in _PACKAGES:
        files |= {path: file for path, file in _files_below(root / name, name).items() if "/conf/" not in path}
    # Installed plugins are in one folder with those of other packages.
    plugins = root / "hydra_plugins"
    return files | {f"launch/hydra_plugins/{file.name}": file for file in plugins.glob("ordinalclip_*.py")}


def _listed_by_git(root: Path) -> list[str] | None:
    """Tracked and new files of the code; None if `root` is not a checkout."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    command += [*_PACKAGES, "conf"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    names = [name for name in done.stdout.split("\0") if name]
    return names if done.returncode == 0 and "ordinalclip/__init__.py" in names else None


def _files_below(folder: Path, name: str, *, skip_hidden: bool = False) -> dict[str, Path]:
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = skip_hidden and any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and "__pycache__" not in parts:
            found["/".join((name, *parts))] = path
    return found


def _hash(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def _copy(files: Mapping[str, Path], folder: Path, about: str, diff: bytes) -> None:
    """Creates the folder atomically; another process may create the same one at the same time."""
    draft = folder.with_name(f".{folder.name}-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}")
    try:
        for name, file in files.items():
            target = draft / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        (draft / SNAPSHOT).write_text(about, encoding="utf-8")
        if diff:
            (draft / "code.diff").write_bytes(diff)
        with contextlib.suppress(FileExistsError, NotADirectoryError):  # created by another process
            draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
