"""`load` opens a finished run or an exported folder as a model for prediction."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

from ordinalclip.config.compose import compose_defaults
from ordinalclip.config.identity import selection_labels
from ordinalclip.errors import ConfigError
from ordinalclip.inference.export_folder import is_exported
from ordinalclip.inference.model import RankModel
from ordinalclip.inference.naming import resolve_run
from ordinalclip.inference.predictions import Ranks
from ordinalclip.preparation.reopen import Record, open_record, recorded_cfg
from ordinalclip.runs.run import Run
from ordinalclip.system.checksums import hash_of_sums

log = logging.getLogger("ordinalclip")


def load(
    source: str | Path, *, device: str = "auto", runs: str | Path | None = None, trusted: bool = False
) -> RankModel:
    """Opens a trained model for prediction.

    Args:
        source: a run's directory, its name, its id, `mlflow:<MLflow's id>`, `best:sweep=NAME,metric=val/mae`, or a
            folder made by `ordinalclip.export`.
        device: "cpu", "cuda", "mps", or "auto": a GPU if there is one.
        runs: folder of the runs; None: that of the settings, `runs`.
        trusted: whether the source of an exported folder is trusted; archives of torch.export run code.

    Raises:
        ConfigError: there is no such run, it is not finished, or its weights are missing.
        DataError: files are damaged or do not belong together.
    """
    from ordinalclip.inference.exported import load_exported
    from ordinalclip.inference.model import logits_of, ranker_of

    place = _device(device)
    if is_exported(Path(source).expanduser()):
        return _warn_without_intervals(load_exported(Path(source).expanduser(), place, trusted=trusted), source)
    here = compose_defaults({} if runs is None else {"paths.runs": str(runs)})
    run = resolve_run(str(source), Path(here["paths"]["runs"]), here["tracking"])
    record = open_record(run, recorded_cfg(run) | {"paths": here["paths"]})
    ranker, preprocessing = ranker_of(record)
    model = RankModel(
        partial(logits_of, ranker.to(place), device=place),
        preprocessing,
        ranks_of(record),
        calibration=run.read_json("calibration.json"),
        facts=facts_of(run, record.cfg),
        sums=hash_of_sums(run.directory),
    )
    return _warn_without_intervals(model, source)


def _warn_without_intervals(model: RankModel, source: str | Path) -> RankModel:
    """Returns the model; logs a warning if it has no intervals."""
    reason = model.no_intervals()
    if reason:
        log.warning("%s: its predictions have no intervals: %s", source, reason)
    return model


def ranks_of(record: Record) -> Ranks:
    """The ranks of a run, with the readout of its protocol."""
    return Ranks(record.rank_names, record.rank_values, record.unit, record.cfg["protocol"]["readout"])


def facts_of(run: Run, cfg: dict[str, Any]) -> dict[str, Any]:
    """The origin of a model: run, seed, data set, backbone, prompt, protocol."""
    names = {group: cfg[group].get("name") for group in ("dataset", "backbone", "prompt")}
    return {"run_id": run.run_id, "run": run.directory.name, "seed": cfg["seed"], **names, **selection_labels(cfg)}


def _device(name: str) -> Any:
    import torch

    from ordinalclip.system.distributed import best_device

    if name == "auto":
        return best_device()
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError("device", name, f"cannot be used: {error}", allowed="auto, cpu, cuda, mps") from None
    return device
