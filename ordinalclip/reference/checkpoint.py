"""A checkpoint of the paper's code as a finished run: tensors read, renamed to `ordinalclip.model`'s names, recorded.

Tensors are read without running code, unless `trust` is set. The run directory has the files of any other run;
provenance.json adds where the checkpoint came from, its configuration, and known defects of how it was trained.
"""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.config.identity import identity, readable_name, run_id, selection_labels
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError
from ordinalclip.evaluation.evaluation import ordinality_record, save_rank_features
from ordinalclip.evaluation.reevaluation import evaluate_record
from ordinalclip.preparation.build import build_model
from ordinalclip.preparation.reopen import Record, rebuild
from ordinalclip.reference.config import ReferenceSettings, known_defects
from ordinalclip.runs.provenance import provenance
from ordinalclip.runs.run import Run, write_record_sums
from ordinalclip.scoring.details import details
from ordinalclip.scoring.predictions import from_manifest

log = logging.getLogger(__name__)

_PREFIX = "module."
_BASELINE_SCALE = 100.0  # hard-coded in the paper's code
# Largest distance of a text tower from the CLIP's that was fine-tuned, relative to its norm: rounding if it was frozen,
# else fine-tuning. The distance of unrelated towers is about 1.4.
_MAX_FROZEN_DISTANCE, _MAX_TRAINED_DISTANCE = 1e-3, 0.5
_RENAMED = {"context_embeds": "prompt.sentence.context", "logit_scale": "backbone.logit_scale"}


def read_checkpoint(path: Path, *, trust: bool) -> dict[str, Tensor]:
    """Reads the tensors of a checkpoint, in float32, without the prefix `module.` of their names.

    Args:
        path: A Lightning checkpoint, or a plain state dict with the same names.
        trust: Also unpickle objects other than tensors, which may run code.

    Raises:
        ConfigError: If it cannot be read, or is no checkpoint of the paper's code.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=not trust)
    except Exception as error:  # torch.load raises many types
        message = " ".join(str(error).split()[:25])
        remedy = "" if trust else "if you trust its source: trust=true reads the objects in it, which may run code"
        raise ConfigError("ckpt", path, f"cannot be read: {type(error).__name__}: {message}", remedy=remedy) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not any(name.startswith(f"{_PREFIX}image_encoder.") for name in tensors):
        problem = f"is no checkpoint of the paper's code: its names are {', '.join(list(tensors)[:3]) or 'none'} …"
        raise ConfigError(
            "ckpt", path, problem, allowed="names such as module.image_encoder.…, as Lightning saves them"
        )
    return {
        name.removeprefix(_PREFIX): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def rename(
    state: Mapping[str, Tensor], settings: ReferenceSettings, counts: Sequence[int], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Renames the checkpoint's tensors to the names of `OrdinalCLIP`.

    Args:
        state: Tensors from `read_checkpoint`.
        settings: Settings from its configuration.
        counts: Number of tokens to keep of each rank of the plain learner, whose ranks are padded.
        own: State of the model, with the towers of the CLIP that was fine-tuned.

    Returns:
        State for a checkpoint of a run. Towers that equal those of `own` are omitted.

    Raises:
        ConfigError: If the names or shapes of the two states do not match.
    """
    renamed = {_name(name, settings, own): tensor for name, tensor in state.items()}
    if len(renamed) < len(state):
        raise ConfigError("ckpt", "…", "several of its tensors have the same name here: its image encoder is different")
    if settings.kind == "Baseline":
        renamed["backbone.logit_scale"] = torch.tensor(math.log(_BASELINE_SCALE))
    elif settings.learner == "PlainPromptLearner":
        ranks_RTW = renamed["prompt.rank_tokens"]
        renamed["prompt.rank_tokens"] = torch.cat([row[:count] for row, count in zip(ranks_RTW, counts, strict=True)])
    for name, tensor in renamed.items():
        if name not in own or own[name].shape != tensor.shape:
            here = f"of shape {list(own[name].shape)} here" if name in own else "not in the model of its config"
            raise ConfigError("ckpt", "…", f"{name} is of shape {list(tensor.shape)} there and {here}")
    towers = ("image", "projection") if settings.kind == "Baseline" else ("image", "projection", "text")
    _check_complete(set(renamed), set(own), towers)
    for tower in ("image", "text"):
        names = {name for name in renamed if name.startswith(f"backbone.{tower}.")}
        if all(torch.equal(renamed[name], own[name]) for name in names):
            renamed = {name: tensor for name, tensor in renamed.items() if name not in names}
        else:  # store the whole tower, so that another run can start from it: their state has no token embeddings
            renamed = {name: own[name] for name in own if name.startswith(f"backbone.{tower}.")} | renamed
    return {name: tensor.detach().clone() for name, tensor in renamed.items()}


def clip_mismatch(state: Mapping[str, Tensor], settings: ReferenceSettings, own: Mapping[str, Tensor]) -> str:
    """Returns why the given CLIP may not be the one that was fine-tuned; empty if it may be.

    The token embeddings are not in the checkpoint and are taken from the given CLIP, so it has to be the same one.

    Args:
        state: Tensors from `read_checkpoint`, accepted by `rename`.
        settings: Settings from its configuration.
        own: State of the model, with the given CLIP's text tower.
    """
    if settings.kind == "Baseline":
        return ""
    pairs = [(state[name], own[_name(name, settings, own)]) for name in state if name.startswith("text_encoder.")]
    distance = sum(float((there - here).double().square().sum()) for there, here in pairs) ** 0.5
    length = sum(float(here.double().square().sum()) for _, here in pairs) ** 0.5
    trained = settings.rates["text"] is not None
    if distance <= (_MAX_TRAINED_DISTANCE if trained else _MAX_FROZEN_DISTANCE) * length:
        return ""
    how = "is far from that of" if trained else "was frozen, but is not that of"
    return f"its text tower {how} the CLIP given as clip, whose token embeddings are used: it may be a different CLIP"


def _name(name: str, settings: ReferenceSettings, own: Mapping[str, Tensor]) -> str:
    """Returns the name of a tensor in `own`, or a name that is not in it if there is none."""
    part, _, rest = name.partition(".")
    if part == "prompt_learner" and rest == "rank_embeds":
        return "prompt.base_ranks" if settings.learner == "RankPromptLearner" else "prompt.rank_tokens"
    if part == "last_project":
        return "prompt.weight"
    if part == "text_encoder":
        return f"backbone.text.{rest}"
    if part == "image_encoder":
        places = (f"backbone.image.{rest}", f"backbone.image.tower.{rest}")
        last = places[0] if settings.has_clip_image else f"backbone.projection.linear.{rest.rpartition('.')[2]}"
        return next((place for place in places if place in own), last)
    return _RENAMED.get(rest or part, name)


def _check_complete(found: set[str], own: set[str], towers: Sequence[str]) -> None:
    required = {
        name
        for name in own
        if name.startswith(("prompt.", "backbone.logit_scale", *(f"backbone.{tower}." for tower in towers)))
    }
    missing = sorted(
        name for name in required - found if not name.endswith((".num_batches_tracked", "text.token_embedding.weight"))
    )
    if missing:
        raise ConfigError("ckpt", "…", f"has no values for {len(missing)} of the model's tensors: {missing[:3]}")


@dataclass(frozen=True)
class Import:
    """Inputs of an imported run.

    Attributes:
        cfg: Configuration of the run.
        settings: Settings of the paper's code.
        state: Tensors from `read_checkpoint`.
        weights: Part → file of the CLIP that was fine-tuned.
        ranks: `names`, `values` and `unit`.
        manifest: Data set to test on, or None.
        files: Name → path and SHA-256 of each imported file.
        words: Command-line words.
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
        """Returns the record of its run, which may not exist yet."""
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
    """Writes an imported run, and tests it if there is a data set. A finished run is left unchanged.

    Raises:
        ConfigError: If the checkpoint does not match the model of its configuration.
        Busy: If another process writes the run.
    """
    record = source.record()
    if record.run.state() == "finished":
        log.info("already finished: %s", record.run.directory.name)
        return record
    state, doubts = _state(source)  # first: nothing is written if the checkpoint does not match
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
    """Returns the state of the run's checkpoint, and doubts about it for the record."""
    cfg, names = source.cfg, source.ranks["names"]
    model = build_model(cfg, source.weights, names, own=("image", "text"))
    counts = cfg["prompt"].get("tokens_per_rank")
    own = model.state_dict()
    renamed = rename(source.state, source.settings, counts if isinstance(counts, list) else [], own)
    doubt = clip_mismatch(source.state, source.settings, own)
    if doubt:
        log.warning("%s", doubt)
    parts = ", ".join(sorted({".".join(name.split(".")[:2]) for name in renamed}))
    log.info("loaded from the checkpoint: %s; the rest from %s", parts, next(iter(source.weights.values())).source)
    return {f"model.{name}": tensor for name, tensor in renamed.items()}, [doubt] if doubt else []


def _write(run: Run, source: Import, record: Record, state: dict[str, Tensor], doubts: list[str]) -> None:
    cfg, settings = source.cfg, source.settings
    run.set_status("running", run_id=run.run_id, epoch=settings.epochs, epochs=settings.epochs, **selection_labels(cfg))
    run.write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(cfg)))
    run.write_json("overrides.json", source.words)
    imported = {"files": source.files, "defects": known_defects(settings) + doubts, "config": settings.whole}
    data = {} if source.manifest is None else {"root": os.path.abspath(source.manifest.root)}
    run.write_json("provenance.json", provenance() | data | {"imported": imported})
    labels = {group: cfg[group].get("name") for group in ("dataset", "backbone", "prompt")}
    groups = {"sweep": cfg["sweep_name"], "tags": [*cfg["tags"], "imported"]}
    run.write_json("labels.json", labels | groups | selection_labels(cfg))
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
        stats, predictions = evaluate_record(record, manifest, split)
        run.write_json(f"{split}_stats.json", stats)
        if split == "test":
            run.publish("predictions.parquet", predictions.to_parquet)
            run.write_json("test_details.json", details(from_manifest(predictions, manifest, record.cfg["protocol"])))
    run.publish("manifest.parquet", manifest.table.to_parquet)
