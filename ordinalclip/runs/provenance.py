"""Provenance of a run: code version and local changes, package versions, machine, SLURM job."""

import json
import os
import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ordinalclip.system import PACKAGE, VERSION

PACKAGES = ("torch", "torchvision", "lightning", "open_clip_torch", "timm", "transformers", "numpy", "hydra-core")
SNAPSHOT = "SNAPSHOT.json"  # in a copy of the code made at submission: the `code_version` of the original
_CODE = (":/ordinalclip", ":/launch", ":/analysis", ":/conf")
_SLURM = (
    "SLURM_CLUSTER_NAME",
    "SLURM_JOB_PARTITION",
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "SLURMD_NODENAME",
    "SLURM_CPUS_PER_TASK",
    "SLURM_GPUS_ON_NODE",
    "CUDA_VISIBLE_DEVICES",
)
_MAX_DIFF = 2_000_000  # bytes
# These options give a diff that `git apply` reads, whatever the user's git settings are.
_DIFF = (
    *("diff", "--binary", "--unified=3", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)


def _git(*arguments: str, ok: int = 0) -> bytes | None:
    """The output of a git command in the checkout's root as bytes; None if its exit code is not `ok`."""
    try:
        done = subprocess.run(["git", "-C", str(_root()), *arguments], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == ok else None


def _root() -> Path:
    return PACKAGE.parent


@cache
def code_version() -> dict[str, Any]:
    """Returns the package version, the git commit and the changed files; None for each that is not known."""
    if (_root() / SNAPSHOT).is_file():  # a copy of the code, made when the job was submitted
        made: dict[str, Any] = json.loads((_root() / SNAPSHOT).read_text(encoding="utf-8"))
        return made
    # A checkout has the package right below its root; anything else is an installed copy inside some other tree.
    inside = _git("rev-parse", "--show-prefix") == b"\n"
    changed = (_git("status", "--porcelain", "--untracked-files=all", "--", *_CODE) or b"") if inside else None
    commit = _git("rev-parse", "HEAD") if inside else None
    return {
        "version": VERSION,
        "git": commit.decode().strip() if commit else None,
        "dirty": bool(changed) if inside else None,
        "changed": (changed or b"").decode(errors="replace").splitlines(),
    }


@cache
def code_diff() -> bytes:
    """Returns the changes of the code since its commit, new files included, as a diff for `git apply`.

    Empty if there are none or they are not known. Bytes, since files may have any encoding.
    """
    if (_root() / SNAPSHOT).is_file():
        kept = _root() / "code.diff"
        return kept.read_bytes() if kept.is_file() else b""
    if not code_version()["dirty"]:
        return b""
    parts = [_git(*_DIFF, "HEAD", "--", *_CODE)]
    new = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *_CODE) or b""
    parts += [_git(*_DIFF, "--no-index", "--", os.devnull, os.fsdecode(name), ok=1) for name in new.split(b"\0")[:-1]]
    whole = b"".join(filter(None, parts))
    return whole if len(whole) <= _MAX_DIFF else whole[:_MAX_DIFF] + f"\n… cut: {len(whole):,} bytes\n".encode()


def provenance() -> dict[str, Any]:
    """Returns everything that may explain a difference between two runs with the same id."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    slurm = {name: os.environ[name] for name in _SLURM if name in os.environ}
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "packages": versions,
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "slurm": slurm,
    }
