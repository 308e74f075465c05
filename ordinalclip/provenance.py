"""Which code, versions and machine made a run."""

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
    # A checkout has the package one level below its root; anything else is an installed copy inside some other tree.
    inside = _git("rev-parse", "--show-prefix") == "ordinalclip/"
    changed = _git("status", "--porcelain", "--", ":/ordinalclip", ":/conf") if inside else None
    return {
        "version": ordinalclip.__version__,
        "git": _git("rev-parse", "HEAD") if inside else None,
        "dirty": bool(changed) if inside else None,
        "changed": changed.splitlines() if changed else [],
    }


def provenance() -> dict[str, Any]:
    """Everything that may explain a difference between two runs of one id."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    slurm = {k: v for k, v in os.environ.items() if k in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")}
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "packages": versions,
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "slurm": slurm,
    }
