"""Which code, versions and machine made a run."""

import difflib
import json
import os
import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import ordinalclip

PACKAGES = ("torch", "torchvision", "lightning", "open_clip_torch", "timm", "transformers", "numpy", "hydra-core")
SNAPSHOT = "SNAPSHOT.json"  # beside a copy of the code: which commit and changes it is of
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
_MAX_DIFF = 2_000_000  # characters; a large file among the options is named, not kept


def _git(*arguments: str) -> str | None:
    here = Path(ordinalclip.__file__).parent
    try:
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def code_version() -> dict[str, Any]:
    """Package version, git commit and, for a checkout with changes, the changed files."""
    root = Path(ordinalclip.__file__).parent.parent
    if (root / SNAPSHOT).is_file():  # a copy of the code, made when the job was submitted
        made: dict[str, Any] = json.loads((root / SNAPSHOT).read_text(encoding="utf-8"))
        return made
    # A checkout has the package one level below its root; anything else is an installed copy inside some other tree.
    inside = _git("rev-parse", "--show-prefix") == "ordinalclip/"
    changed = _git("status", "--porcelain", "--untracked-files=all", "--", *_CODE) if inside else None
    return {
        "version": ordinalclip.__version__,
        "git": _git("rev-parse", "HEAD") if inside else None,
        "dirty": bool(changed) if inside else None,
        "changed": changed.splitlines() if changed else [],
    }


@cache
def code_diff() -> str:
    """What the code has changed since its commit, new files included; "" where that is nothing, or not known."""
    root = Path(ordinalclip.__file__).parent.parent
    if (root / SNAPSHOT).is_file():
        kept = root / "code.diff"
        return kept.read_text(encoding="utf-8") if kept.is_file() else ""
    if not code_version()["dirty"]:
        return ""
    parts = [_git("diff", "HEAD", "--no-color", "--no-ext-diff", "--", *_CODE) or ""]
    new = _git("ls-files", "-z", "--others", "--exclude-standard", "--full-name", "--", *_CODE) or ""
    for name in filter(None, new.split("\0")):
        lines = (root / name).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        parts.append("".join(difflib.unified_diff([], lines, "/dev/null", f"b/{name}")))
    whole = "\n".join(part.removesuffix("\n") for part in parts if part) + "\n"
    return whole if len(whole) <= _MAX_DIFF else whole[:_MAX_DIFF] + f"\n… cut: {len(whole):,} characters\n"


def provenance() -> dict[str, Any]:
    """Everything that may explain a difference between two runs of one id."""
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
