"""A run directory from a checkpoint of the paper's code: everything that a run of ours leaves, and where it is from."""

import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.config.identity import identity, readable_name, run_id, stamp
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.evaluation.evaluation import ordinality_record, save_rank_features
from ordinalclip.evaluation.reevaluation import evaluate_again
from ordinalclip.preparation.build import assemble
from ordinalclip.preparation.reopen import Record, rebuild
from ordinalclip.reference.checkpoint import ReferenceSettings, doubt_of_clip, rename
from ordinalclip.reference.translate import defects_of
from ordinalclip.runs.provenance import provenance
from ordinalclip.runs.run import Run, write_record_sums
from ordinalclip.scoring.details import details
from ordinalclip.scoring.predictions import of_manifest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Import:
    """Everything that is known of a checkpoint before its run is written.

    Attributes:
        cfg: our configuration of it.
        settings: theirs.
        state: from `read_checkpoint`.
        weights: part → file of the CLIP it was trained from.
        ranks: `names`, `values` and `unit`.
        manifest: data to test it on, or None.
        files: name → path and SHA-256 of what was imported.
        words: what was typed.
    """

    cfg: dict[str, Any]
    settings: ReferenceSettings
    state: dict[str, Tensor]
    weights: dict[str, WeightFile]
    ranks: dict[str, Any]
    manifest: Manifest | None
    files: dict[str, dict[str, str]]
    words: list[str]

    def record(self) -> Record:
        """The record of its run, which need not exist yet."""
        what = identity(
            self.cfg,
            manifest_hash="unknown" if self.manifest is None else self.manifest.content_hash,
            weights={part: file.sha256 for part, file in self.weights.items()},
        ) | {"imported": self.files["ckpt"]["sha256"], "ranks": self.ranks["names"]}
        name = run_id(what)
        directory = Path(self.cfg["paths"]["runs"]).absolute() / readable_name(self.cfg, name)
        names, values = tuple(self.ranks["names"]), tuple(self.ranks["values"])
        return Record(Run(directory), self.cfg, what, self.weights, names, values, self.ranks["unit"])


def write_run(source: Import) -> Record:
    """Writes an imported run, tested where there are data; one that is there already is left as it is.

    Raises:
        ConfigError: the checkpoint does not fit the model that its configuration describes.
        Busy: another process writes it.
    """
    record = source.record()
    if record.run.state() == "finished":
        log.info("done already: %s", record.run.directory.name)
        return record
    state, doubts = _state(source)  # first of all: nothing is written of what does not fit
    run = record.run
    run.claim()
    try:
        _write(run, source, record, state, doubts)
        write_record_sums(run)
        run.set_status("finished")
    except BaseException as error:
        run.set_status("failed", error=f"{type(error).__name__}: {error}")
        raise
    finally:
        run.release(run.status().get("status", "failed"))
    return record


def _state(source: Import) -> tuple[dict[str, Tensor], list[str]]:
    """What the run's checkpoint holds, and what speaks against it."""
    cfg, names = source.cfg, source.ranks["names"]
    model = assemble(cfg, source.weights, names, own=("image", "text"))
    counts = cfg["prompt"].get("tokens_per_rank")
    own = model.state_dict()
    renamed = rename(source.state, source.settings, counts if isinstance(counts, list) else [], own)
    doubt = doubt_of_clip(source.state, source.settings, own)
    if doubt:
        log.warning("%s", doubt)
    parts = ", ".join(sorted({".".join(name.split(".")[:2]) for name in renamed}))
    log.info("from the checkpoint: %s; all else from %s", parts, next(iter(source.weights.values())).source)
    return {f"model.{name}": tensor for name, tensor in renamed.items()}, [doubt] if doubt else []


def _write(run: Run, source: Import, record: Record, state: dict[str, Tensor], doubts: list[str]) -> None:
    cfg, settings = source.cfg, source.settings
    run.set_status("running", run_id=run.run_id, epoch=settings.epochs, epochs=settings.epochs, **stamp(cfg))
    run.write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(cfg)))
    run.write_json("overrides.json", source.words)
    imported = {"files": source.files, "defects": defects_of(settings) + doubts, "config": settings.whole}
    data = {} if source.manifest is None else {"root": os.path.abspath(source.manifest.root)}
    run.write_json("provenance.json", provenance() | data | {"imported": imported})
    labels = {group: cfg[group].get("name") for group in ("dataset", "backbone", "prompt")}
    groups = {"sweep": cfg["sweep_name"], "tags": [*cfg["tags"], "imported"]}
    run.write_json("labels.json", labels | groups | stamp(cfg))
    run.write_json("ranks.json", source.ranks)
    run.publish("ckpt/best.ckpt", partial(torch.save, {"state_dict": state}))
    features_RD = rebuild(record).rank_features()
    save_rank_features(run, None, features_RD)
    run.write_json("ordinality.json", ordinality_record(None, features_RD))
    if source.manifest is not None:
        _test(run, record, source.manifest)
    run.write_json("identity.json", record.identity)  # last: a run is found by it


def _test(run: Run, record: Record, manifest: Manifest) -> None:
    for split in sorted({"val", "test"} & set(manifest.table["split"])):
        stats, predictions = evaluate_again(record, manifest, split)
        run.write_json(f"{split}_stats.json", stats)
        if split == "test":
            run.publish("predictions.parquet", predictions.to_parquet)
            run.write_json("test_details.json", details(of_manifest(predictions, manifest, record.cfg["protocol"])))
    run.publish("manifest.parquet", manifest.table.to_parquet)
