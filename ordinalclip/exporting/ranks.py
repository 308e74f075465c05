"""Other ranks than those of training, read off the same base ranks: finer, coarser, or at values of one's own."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ordinalclip.build import build
from ordinalclip.errors import ConfigError
from ordinalclip.inference.predictions import Ranks
from ordinalclip.model import OrdinalCLIP
from ordinalclip.prompts.interpolation import interpolation_weights
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.reopen import Record, rebuild


def values_between(ranks: Ranks, num_ranks: int) -> list[float]:
    """`num_ranks` values at equal distances on the axis of ranks, the ends included."""
    if num_ranks < 2:
        raise ConfigError("num_ranks", num_ranks, "are too few", allowed="2 or more")
    places = np.linspace(0, len(ranks.scale) - 1, num_ranks)
    return [float(value) for value in np.interp(places, np.arange(len(ranks.scale)), ranks.scale)]


def reinterpolated(record: Record, ranks: Ranks, values: Sequence[float]) -> tuple[Tensor, Ranks]:
    """Rank features [R', D], unit length, of ranks with the given values; the text tower runs once.

    Args:
        record: of a run with rank prompts.
        ranks: the run's own.
        values: R' rising values within those of the run's ranks, in their unit.

    Raises:
        ConfigError: the run's prompt has no base ranks, or its ranks differ in more than their place; values that do
            not rise, or lie outside.
    """
    scale = np.array(ranks.scale)
    wanted = np.array(values, dtype=float)
    rising = len(wanted) > 1 and bool((np.diff(wanted) > 0).all())  # nan is not
    if not rising or wanted[0] < scale[0] or wanted[-1] > scale[-1]:
        allowed = f"two or more, rising, within {scale[0]:g} … {scale[-1]:g}"
        raise ConfigError("values", list(values), "cannot be ranks of this run", allowed=allowed)
    model = rebuild(record)
    places = torch.from_numpy(np.interp(wanted, scale, np.arange(len(scale))))
    names = tuple(f"{value:g}" for value in wanted)
    model.prompt = _prompt_at(model, record, places, names)
    with torch.inference_mode():
        features_RD = model.eval().rank_features()
    return features_RD.clone(), replace(ranks, names=names, scale=tuple(wanted.tolist()))


def _prompt_at(model: OrdinalCLIP, record: Record, places: Tensor, names: Sequence[str]) -> RankPrompt:
    """The run's prompt for other places on the axis of ranks."""
    old, cfg = model.prompt, record.cfg["prompt"]
    problem, remedy = None, "leave num_ranks and values out"
    if not isinstance(old, RankPrompt):
        problem = "has no base ranks to interpolate from"
    elif cfg.get("rank_specific_context"):
        problem = "has a context for each of its own ranks"
    elif isinstance(cfg.get("tokens_per_rank"), list):
        problem = "has a number of tokens for each of its own ranks"
    elif len(names) < cfg["num_base_ranks"]:
        problem = f"has {cfg['num_base_ranks']} base ranks, more than the {len(names)} that are asked for"
        remedy = f"ask for {cfg['num_base_ranks']} ranks or more"
    if problem is not None or not isinstance(old, RankPrompt):
        raise ConfigError("run", record.run.directory.name, f"its prompt {problem}", remedy=remedy)
    changed = {"rank_init": "random", "base_rank_names": None, "tokens_per_rank": old.base_ranks.shape[1]}
    backbone = model.backbone
    new = build(cfg | changed, "prompt", text=backbone.text, embed_dim=backbone.embed_dim, rank_names=names)
    assert isinstance(new, RankPrompt)
    new.load_state_dict(old.state_dict())
    new.weights = interpolation_weights(cfg["interpolation"], len(old.weights), cfg["num_base_ranks"], places)
    return new
