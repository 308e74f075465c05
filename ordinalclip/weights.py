"""`python -m ordinalclip.weights backbone=…`: downloads a backbone's weights and prints what to copy elsewhere."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose

from ordinalclip.backbones.weights.find import WeightFile, find_weights, gather
from ordinalclip.cli.command import explain_hydra_error
from ordinalclip.cli.help import Arguments, read_arguments
from ordinalclip.config.checks import DESCRIPTIVE, RUNTIME
from ordinalclip.config.compose import compose_api, plain_config
from ordinalclip.config.signatures import check_target
from ordinalclip.errors import ConfigError

USAGE = """python -m ordinalclip.weights backbone=OPTION [KEY=VALUE …]    (make weights backbone=OPTION)

Finds the weights of a backbone on this machine or downloads them, and prints the path and the SHA-256 of each part, and
what to copy to machines without internet. Settings are those of training: backbone.weights=…, paths.cache=…"""


def main() -> None:
    """Entry point. Exits with 0 if every file is there, with 2 on a mistake of the user or missing weights."""
    typed = read_arguments(sys.argv[1:], "python -m ordinalclip.weights")
    if typed.help:
        print(USAGE)
        return
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        cfg, cache_dir = _compose(typed)
        found = find_weights(cfg, cache_dir)
    except Exception as error:
        mistake = explain_hydra_error(error, typed.overrides, typed.config_dirs)
        if mistake is None and not isinstance(error, ConfigError):
            raise
        print(f"error: {mistake or error}", file=sys.stderr)
        sys.exit(2)
    print("\n".join(report(cfg, found, cache_dir)))


def report(cfg: Mapping[str, Any], found: Mapping[str, WeightFile], cache_dir: Path) -> list[str]:
    """Copies published weights into the cache and returns the lines to print.

    Args:
        cfg: the backbone's yaml.
        found: from `find_weights`.
        cache_dir: the cache.
    """
    gathered = gather(cfg, found, cache_dir)
    lines = []
    for part, file in found.items():
        lines.append(f"{part}: {file.source}")
        if file.path is None:
            lines.append("  no file: drawn at random, the same on every machine")
            continue
        path = gathered[part][0] if part in gathered else file.path
        lines += [f"  {path}", f"  {_size(path) / 1e6:,.1f} MB, SHA-256 {file.sha256}"]
        if part not in gathered:
            installed = file.source.startswith("package:")
            lines.append("  installed with its package" if installed else "  a path: copy it yourself")
    folders = sorted({str(folder) for _, folder in gathered.values()})
    if folders:
        lines.append(f"for machines without internet: copy {' and '.join(folders)} into the folder paths.cache there")
    return lines


def _compose(typed: Arguments) -> tuple[dict[str, Any], Path]:
    """Returns the backbone's checked yaml and the cache."""
    with compose_api(typed.config_dirs):
        cfg = compose("train", typed.overrides)
    backbone = plain_config(cfg.backbone)
    arguments = {key: value for key, value in backbone.items() if key not in DESCRIPTIVE["backbone"]}
    check_target(arguments, "backbone", runtime=RUNTIME["backbone"])
    return backbone, Path(cfg.paths.cache)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size


if __name__ == "__main__":
    main()
