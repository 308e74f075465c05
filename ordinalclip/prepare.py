"""From a configuration to a job that can start: checked, its data read, its weights found, its run named."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ordinalclip.backbones.weights import WeightFile, find_weights
from ordinalclip.compiler import check_compiler
from ordinalclip.config import check
from ordinalclip.datasets.labels import check_label_draw
from ordinalclip.datasets.load import finish_manifest, split_manifest
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.find_sweep import check_sweep_name
from ordinalclip.identity import identity, readable_name, run_id
from ordinalclip.initial_file import InitialFile, find_initial
from ordinalclip.prompts.names import with_names_read
from ordinalclip.runs import Run
from ordinalclip.single_start import check_single_start

# The runs of a sweep mostly share their data set, and where not that, the set that theirs are subsets of.
_SPLIT: dict[str, Manifest] = {}
_MANIFESTS: dict[str, Manifest] = {}


@dataclass(frozen=True)
class Job:
    """A checked configuration with everything that its run needs to start.

    Attributes:
        cfg: the configuration as plain dicts.
        manifest: the data set with its split.
        weights: part → weight file of the backbone.
        identity: what the run id is the hash of.
        run: the run's directory.
        overrides: what the user typed, for the record.
        initial: where its initial values come from, if from another run.
    """

    cfg: dict[str, Any]
    manifest: Manifest
    weights: dict[str, WeightFile]
    identity: dict[str, Any]
    run: Run
    overrides: tuple[str, ...] = ()
    initial: InitialFile | None = None


def prepare(cfg: dict[str, Any], overrides: tuple[str, ...] = ()) -> Job:
    """Checks a configuration to the end without importing torch.

    Args:
        cfg: a configuration from `ordinalclip.config.plain`.
        overrides: what the user typed.

    Raises:
        ConfigError: for a setting that cannot be used, or weights that are not there.
        DataError: for a data set that cannot be used.
    """
    weights, initial = check_settings(cfg)
    cfg = with_names_read(cfg)
    manifest = manifest_of(cfg)
    check(cfg, known={"num_ranks": manifest.num_ranks})
    check_label_draw(cfg, manifest)
    what = identity(
        cfg,
        manifest_hash=manifest.content_hash,
        weights={part: file.sha256 for part, file in weights.items()},
        initial=None if initial is None else initial.sha256,
    )
    run = Run(_directory(Path(cfg["paths"]["runs"]).absolute(), readable_name(cfg, run_id(what)), run_id(what)))
    return Job(cfg, manifest, weights, what, run, overrides, initial)


def check_settings(cfg: Mapping[str, Any]) -> tuple[dict[str, WeightFile], InitialFile | None]:
    """Checks all that can be checked before any data is drawn or looked at.

    Args:
        cfg: a configuration from `ordinalclip.config.plain`.

    Returns:
        Part → weight file of the backbone; the checkpoint of initial values, if one is named.

    Raises:
        ConfigError: for a setting that cannot be used, or weights or a checkpoint that are not there.
    """
    check(cfg)
    check_sweep_name(cfg["sweep_name"])
    check_single_start(cfg)
    if cfg["compile"] and cfg["trainable"]["image"] is not None:
        check_compiler()
    stated = cfg["dataset"].get("num_ranks")  # some data sets are told how many
    if stated is not None:
        check(cfg, known={"num_ranks": stated})
    return find_weights(cfg["backbone"], Path(cfg["paths"]["cache"])), find_initial(cfg)


def _directory(root: Path, name: str, run_id: str) -> Path:
    """Where a run lies, whatever it was called when it was made (names are not in the id), or where it will lie."""
    directory = root / name
    if directory.exists() or not root.is_dir():
        return directory
    return root / _names(root, root.stat().st_mtime_ns).get(run_id, name)


@lru_cache(maxsize=4)
def _names(root: Path, changed_ns: int) -> dict[str, str]:
    """Run id → name of its directory; looked up once for all jobs of a sweep, and again where a directory was added."""
    names = sorted((name for name in os.listdir(root) if "-" in name), reverse=True)
    return {name.rpartition("-")[2]: name for name in names}


def manifest_of(cfg: Mapping[str, Any]) -> Manifest:
    """The data set of a configuration with its split, read once a process."""
    whole = json.dumps([cfg["dataset"], cfg["protocol"], cfg["paths"]], sort_keys=True, default=str)
    key = json.dumps([whole, cfg["subset"]], sort_keys=True)
    if key not in _MANIFESTS:
        if whole not in _SPLIT:
            data_dir, cache_dir = Path(cfg["paths"]["data"]), Path(cfg["paths"]["cache"])
            _SPLIT[whole] = split_manifest(cfg["dataset"], cfg["protocol"], data_dir=data_dir, cache_dir=cache_dir)
        _MANIFESTS[key] = finish_manifest(_SPLIT[whole], cfg["protocol"], cfg["subset"])
    return _MANIFESTS[key]
