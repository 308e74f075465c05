"""`python -m analysis.sync`: copies all run directories into an MLflow store.

The directories are the record, so this restores a store that was unreachable or deleted. Complete copies, recognized by
a fingerprint in their tags, are skipped.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from ordinalclip.cli.command import run_command
from ordinalclip.config.compose import compose_config, rename_runs
from ordinalclip.errors import Busy, ConfigError
from ordinalclip.runs.run import Run
from ordinalclip.system.files import LockTimeout, file_lock
from ordinalclip.tracking.store import Store
from ordinalclip.tracking.sync import copy_all

_USAGE = """\
OrdinalCLIP copies run directories into an MLflow store: those of tracking=offline, those that an outage left out, or
all of them if the store was deleted. Complete copies are skipped.

  python -m analysis.sync [runs=FOLDER] [tracking=local|server] [tracking.uri=…] [tracking.experiment=…]

  runs      the folder of the runs, by default runs
  tracking  local: FOLDER/mlflow.db; server: MLFLOW_TRACKING_URI, or tracking.uri=http://…

Examples
  python -m analysis.sync runs=runs
  python -m analysis.sync tracking=server tracking.uri=http://127.0.0.1:5000"""


def main() -> None:
    """Entry point."""
    run_command(sync, _USAGE, needs_words=False)


def sync(words: Sequence[str]) -> int:
    """Copies the runs of a folder into a store.

    Args:
        words: of the form key=value.

    Returns:
        The number of copied runs.

    Raises:
        ConfigError: for invalid settings, or if the store does not answer.
        Busy: if another process is copying these runs.
    """
    root, store = _read_words(words)
    started = time.monotonic()
    runs = [Run(path.parent) for path in sorted(root.glob("*/status.json"))]
    try:
        with file_lock(root, 0.0):
            copied, failed = copy_all(store, runs)
    except LockTimeout:
        raise Busy(f"{root}: another process is copying these runs") from None
    there = len(runs) - copied - failed
    counts = [
        f"{copied:,} copied",
        f"{there:,} there already",
        *([f"{failed:,} could not be copied"] if failed else []),
    ]
    print(f"{len(runs):,} runs: {', '.join(counts)}, in {time.monotonic() - started:.1f} s")
    print(f"MLflow  {store.uri}, experiment {store.experiment}")
    if failed:
        raise RuntimeError(f"{failed} of {len(runs)} runs could not be copied; the same command tries again")
    return copied


def _read_words(words: Sequence[str]) -> tuple[Path, Store]:
    typed = rename_runs(words)
    for word in typed:
        if not word.startswith(("paths.runs=", "tracking=", "tracking.")):
            key, _, value = word.partition("=")
            raise ConfigError(key, value, "is unknown", allowed="runs, tracking, tracking.uri, tracking.experiment")
    cfg = compose_config(typed)
    if "uri" not in cfg["tracking"]:
        raise ConfigError("tracking", "offline", "keeps no store to copy to", allowed="local, server")
    root = Path(cfg["paths"]["runs"])
    if not root.is_dir():
        raise ConfigError("runs", str(root), "there is no such folder")
    return root, Store(cfg["tracking"]["uri"], cfg["tracking"]["experiment"])


if __name__ == "__main__":
    main()
