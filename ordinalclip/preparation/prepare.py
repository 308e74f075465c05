"""Prepares jobs: checks a configuration, reads the data, finds the weights, computes the run id. Imports no torch.

`prepare` does so for one run, `plan` for all runs of a sweep before the first one starts. `begin_record` writes the
first files of a record: settings, data and provenance, leakage.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from ordinalclip.backbones.weights.find import WeightFile, find_weights
from ordinalclip.cli.command import explain_hydra_error
from ordinalclip.config.compose import plain_config
from ordinalclip.config.identity import identity, readable_name, run_id, selection_labels
from ordinalclip.datasets.leakage import MAX_PAIRS, measure_leakage, near_duplicates
from ordinalclip.datasets.load import finish_manifest, split_manifest
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.subset import changed_rows
from ordinalclip.datasets.table import save_table
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.preparation.checks import check, check_compiler, check_label_draw
from ordinalclip.preparation.initial_values import InitialFile, find_initial
from ordinalclip.prompts.checks import cap_base_ranks, resolve_rank_names
from ordinalclip.runs.find import check_sweep_name
from ordinalclip.runs.provenance import code_diff, provenance
from ordinalclip.runs.run import Run
from ordinalclip.system.slurm import check_single_start

# Caches by settings: runs of a sweep mostly share their data set, or the set of which theirs are subsets.
_SPLIT_MANIFESTS: dict[str, Manifest] = {}
_MANIFESTS: dict[str, Manifest] = {}

log = logging.getLogger("ordinalclip")

_LOGGED_NOTES: set[str] = set()


@dataclass(frozen=True)
class Job:
    """A checked configuration, and what its run needs to start.

    Attributes:
        cfg: the configuration as plain dicts.
        manifest: the data set with its split.
        weights: part → weight file of the backbone.
        identity: the values whose hash is the run id.
        run: the run directory.
        overrides: the overrides that the user typed, for the record.
        initial: checkpoint of initial values; None: they are drawn from the seed.
    """

    cfg: dict[str, Any]
    manifest: Manifest
    weights: dict[str, WeightFile]
    identity: dict[str, Any]
    run: Run
    overrides: tuple[str, ...] = ()
    initial: InitialFile | None = None


def prepare(cfg: dict[str, Any], overrides: tuple[str, ...] = ()) -> Job:
    """Prepares the job of a configuration; all checks are done without importing torch.

    Args:
        cfg: a configuration from `plain_config`.
        overrides: the overrides that the user typed.

    Raises:
        ConfigError: a setting is invalid, or weights are missing.
        DataError: the data set cannot be used.
    """
    weights, initial = check_settings(cfg)
    cfg = resolve_rank_names(cfg)
    manifest = manifest_of(cfg)
    prompt, note = cap_base_ranks(cfg["prompt"], manifest.num_ranks, overrides)
    if note:
        log_notes([note])
        cfg = cfg | {"prompt": prompt}
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
    """Runs all checks that need no data.

    Args:
        cfg: a configuration from `plain_config`.

    Returns:
        Part → weight file of the backbone; the checkpoint of initial values, or None.

    Raises:
        ConfigError: a setting is invalid, or weights or the checkpoint are missing.
    """
    check(cfg)
    check_sweep_name(cfg["sweep_name"])
    check_single_start(cfg)
    if cfg["compile"] and cfg["trainable"]["image"] is not None:
        check_compiler()
    stated = cfg["dataset"].get("num_ranks")  # a key of some data sets
    if stated is not None:
        # What the user typed is not known here: `prepare` checks a typed prompt.num_base_ranks.
        prompt, _ = cap_base_ranks(cfg["prompt"], stated)
        check({**cfg, "prompt": prompt}, known={"num_ranks": stated})
    return find_weights(cfg["backbone"], Path(cfg["paths"]["cache"])), find_initial(cfg)


def _directory(root: Path, name: str, run_id: str) -> Path:
    """The directory of a run: an existing one with this id, whatever its readable name, or a new one."""
    directory = root / name
    if directory.exists() or not root.is_dir():
        return directory
    return root / _names(root, root.stat().st_mtime_ns).get(run_id, name)


@lru_cache(maxsize=4)
def _names(root: Path, changed_ns: int) -> dict[str, str]:
    """Run id → name of its directory; cached until a directory is added to `root`."""
    names = sorted((name for name in os.listdir(root) if "-" in name), reverse=True)
    return {name.rpartition("-")[2]: name for name in names}


def manifest_of(cfg: Mapping[str, Any]) -> Manifest:
    """The data set of a configuration with its split; cached in this process."""
    whole = json.dumps([cfg["dataset"], cfg["protocol"], cfg["paths"]], sort_keys=True, default=str)
    key = json.dumps([whole, cfg["subset"]], sort_keys=True)
    if key not in _MANIFESTS:
        if whole not in _SPLIT_MANIFESTS:
            data_dir, cache_dir = Path(cfg["paths"]["data"]), Path(cfg["paths"]["cache"])
            _SPLIT_MANIFESTS[whole] = split_manifest(
                cfg["dataset"], cfg["protocol"], data_dir=data_dir, cache_dir=cache_dir
            )
        _MANIFESTS[key] = finish_manifest(_SPLIT_MANIFESTS[whole], cfg["protocol"], cfg["subset"])
    return _MANIFESTS[key]


def begin_record(job: Job, run_log: logging.Handler) -> None:
    """Writes the first files of a record, and logs the notes of the data set.

    Args:
        job: its run is claimed.
        run_log: handler of the run's log, which gets every note.
    """
    run, cfg = job.run, job.cfg
    resumed = run.epochs_done()
    run.set_status("running", run_id=run.run_id, epochs=cfg["epochs"], **selection_labels(cfg))
    run.write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(cfg)))
    run.write_json("overrides.json", list(job.overrides))
    # Absolute: records are also read from other working directories, such as a notebook's.
    root = os.path.abspath(job.manifest.root)
    data = {"manifest": job.manifest.content_hash, "root": root, "notes": list(job.manifest.notes)}
    run.write_json("provenance.json", provenance() | data | _earlier(run, resumed))
    if diff := code_diff():
        run.publish("code.diff", lambda draft: draft.write_bytes(diff))
    names = {group: cfg[group].get("name") for group in ("dataset", "backbone", "prompt")}
    run.write_json("labels.json", names | {"sweep": cfg["sweep_name"], "tags": cfg["tags"]} | selection_labels(cfg))
    run.publish("manifest.parquet", job.manifest.table.to_parquet)
    run.publish("manifest.csv", partial(save_table, job.manifest))  # for users to read, edit and train on
    if len(changed := changed_rows(job.manifest)):
        run.publish("subset.parquet", changed.to_parquet)
    leakage, notes = _leakage(job)
    run.write_json("leakage.json", leakage)
    run.write_json("ranks.json", job.manifest.ranks())
    run.write_json("identity.json", job.identity)
    if resumed > 0:
        log.info("resuming %s after epoch %d of %d", run.directory.name, resumed, cfg["epochs"])
    log_notes([*job.manifest.notes, *notes], run_log)


def log_notes(notes: Sequence[str], run_log: logging.Handler | None = None) -> None:
    """Logs each note once per process, since runs of a sweep share most notes; `run_log` gets all of them."""
    for note in notes:
        if note not in _LOGGED_NOTES:
            _LOGGED_NOTES.add(note)
            log.info("%s", note)
        elif run_log is not None:
            run_log.handle(log.makeRecord(log.name, logging.INFO, "", 0, note, (), None))


def _leakage(job: Job) -> tuple[dict[str, Any], list[str]]:
    """The leakage between splits, and notes about near duplicates."""
    report = measure_leakage(job.manifest)
    if not job.cfg["dataset"].get("photos"):
        return report, []
    near = near_duplicates(job.manifest, Path(job.cfg["paths"]["cache"]))
    report["near_duplicates"] = near
    if near["known"] == 0:
        note = (
            f"near duplicates were not looked for: there are more than {MAX_PAIRS:,} pairs of a test image and another"
        )
        return report, [note]
    if near["shared"] == 0:
        return report, []
    one, other, _ = near["examples"][0]
    note = f"{near['shared']:,} test images ({near['test_rate']:.1%}) look nearly equal to one of another split"
    return report, [f"{note}, such as {one} and {other}; see leakage.json"]


def _earlier(run: Run, resumed: int) -> dict[str, Any]:
    """Provenance of the attempts that made the earlier epochs of a resumed run."""
    made = run.read_json("provenance.json") if resumed > 0 else None
    if made is None:
        return {}
    return {"earlier": [*made.pop("earlier", []), made]}


def plan(
    compose: Callable[[list[str]], DictConfig], product: Sequence[list[str]], config_dirs: Sequence[Path] = ()
) -> list[Job]:
    """The distinct jobs of a sweep; all settings are checked before any data is read.

    Args:
        compose: overrides of one job → its configuration.
        product: overrides of each job.
        config_dirs: the user's folders with options, for messages.

    Raises:
        ConfigError: a job cannot start; its overrides are a note of the error.
        DataError: a data set cannot be used; the overrides of the job are a note of the error.
    """
    cfgs = composed_jobs(compose, product, check_settings, config_dirs)
    jobs = []
    for cfg, overrides in zip(cfgs, product, strict=True):
        try:
            jobs.append(prepare(cfg, tuple(overrides)))
        except (ConfigError, DataError) as error:
            add_job_note(error, overrides, product)
            raise
    distinct = {job.run.run_id: job for job in reversed(jobs)}
    if len(distinct) < len(jobs):
        log.info("%d of %d jobs have the run id of another one, and are left out", len(jobs) - len(distinct), len(jobs))
    return list(reversed(distinct.values()))


def composed_jobs(
    compose: Callable[[list[str]], DictConfig],
    product: Sequence[list[str]],
    check: Callable[[dict[str, Any]], object],
    config_dirs: Sequence[Path] = (),
) -> list[dict[str, Any]]:
    """The configuration of each job, checked.

    Args:
        compose: overrides of one job → its configuration.
        product: overrides of each job.
        check: raises ValueError for an invalid configuration.
        config_dirs: the user's folders with options, for messages.

    Raises:
        ConfigError: a configuration is invalid; the overrides that distinguish it are a note of the error.
    """
    cfgs = []
    for overrides in product:
        try:
            cfgs.append(plain_config(compose(overrides)))
            check(cfgs[-1])
        except (HydraException, ValueError) as error:
            mistake = explain_hydra_error(error, overrides, config_dirs) or error
            add_job_note(mistake, overrides, product)
            raise mistake from None
    return cfgs


def add_job_note(error: Exception, overrides: Sequence[str], product: Sequence[Sequence[str]]) -> None:
    """Adds a note with the overrides that distinguish a job from the others of its sweep, if there are others."""
    if len(product) > 1:
        common = set.intersection(*map(set, product))
        varied = " ".join(override for override in overrides if override not in common)
        error.add_note(f"one of {len(product)} runs: {varied}; nothing was started")
