"""A model of the paper's code as a configuration of this project."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.checks import rank_names_of
from ordinalclip.reference.checkpoint import CLIP_MODELS, ReferenceSettings, shape_of


def names_of(typed: str | None, settings: ReferenceSettings, config: Path) -> list[str] | None:
    """One name a rank: those that were typed, or the file that the configuration names where it is to be found.

    Args:
        typed: a file with a name a line, or None.
        settings: name a file, perhaps.
        config: beside which that file may lie.

    Raises:
        ConfigError: the typed file cannot be read, or has another number of names.
    """
    if typed is not None:
        return rank_names_of({"rank_names": typed}, settings.num_ranks)
    if settings.rank_file is not None:
        for folder in (Path(), config.parent):
            if (folder / settings.rank_file).is_file():
                names = rank_names_of({"rank_names": str(folder / settings.rank_file)})
                # For the rank learner there may be one name a base rank.
                return names if names is not None and len(names) == settings.num_ranks else None
    return None


def ranks_of(names: Sequence[str] | None, settings: ReferenceSettings) -> dict[str, Any]:
    """Names and values of the ranks: the numbers that their names are, else 0…R-1."""
    shown = [str(rank) for rank in range(settings.num_ranks)] if names is None else list(names)
    try:
        values = [float(name) for name in shown]
    except ValueError:
        values = []
    rising = all(low < high for low, high in pairwise(values))
    return {
        "names": shown,
        "values": values if values and rising else [float(r) for r in range(len(shown))],
        "unit": "",
    }


def backbone_of(settings: ReferenceSettings, clip: str) -> dict[str, Any]:
    """The `backbone` group.

    Args:
        settings: of the paper's code.
        clip: the CLIP it was trained from: a path, a tag or random.
    """
    text = CLIP_MODELS[settings.text]
    readable = text.lower().replace("-", "_")
    if settings.has_clip_image:
        return {
            "_target_": "ordinalclip.backbones.openclip.build_openclip",
            "name": readable,
            "model": text,
            "weights": clip,
            "tag": "openai",  # decides QuickGELU
            "preprocessing": "reference",
        }
    return {
        "_target_": "ordinalclip.backbones.mixed.build_mixed",
        "name": f"{settings.image}_{readable}text",
        "image_library": "torchvision",
        "image_model": settings.image,
        "text_model": text,
        "weights": {"image": "random", "text": clip},  # the image tower is in the checkpoint
        "text_tag": "openai",
        "size": 224,
        "resize": "squash",
        "preprocessing": "reference",
    }


def prompt_of(
    settings: ReferenceSettings, state: dict[str, Tensor], names: Sequence[str] | None, path: Path
) -> dict[str, Any]:
    """The `prompt` group, with every length as the checkpoint has it.

    Args:
        settings: of the paper's code.
        state: from `read_checkpoint`.
        names: those that the plain learner's ranks started from, where they did.
        path: of the checkpoint, for errors.

    Raises:
        ConfigError: checkpoint, configuration and names do not fit together.
    """
    if settings.kind == "Baseline":
        ranks = shape_of(state, "last_project.weight", (2,), path)[0]
        _agree(ranks, settings.num_ranks, "last_project.weight", "ranks", path)
        return {"_target_": "ordinalclip.prompts.linear.LinearPrompt", "name": "linear"}
    dims = 3 if settings.rank_specific_context else 2
    *_, num_context, _ = shape_of(state, "prompt_learner.context_embeds", (dims,), path)
    rows, longest, _ = shape_of(state, "prompt_learner.rank_embeds", (3,), path)
    shared = {
        "rank_init": "random",  # the checkpoint has the values
        "rank_position": settings.rank_position,
        "context": None,
        "num_context_tokens": num_context,
        "rank_specific_context": settings.rank_specific_context,
        "ending": ".",
    }
    if settings.learner == "RankPromptLearner":
        _agree(rows, settings.num_base_ranks, "prompt_learner.rank_embeds", "base ranks", path)
        own = {"num_base_ranks": rows, "interpolation": settings.interpolation, "tokens_per_rank": longest}
        return {"_target_": "ordinalclip.prompts.rank.RankPrompt", "name": "rank"} | own | shared
    _agree(rows, settings.num_ranks, "prompt_learner.rank_embeds", "ranks", path)
    counts = _tokens_per_rank(settings, names, longest)
    own = {"tokens_per_rank": counts}
    return {"_target_": "ordinalclip.prompts.context.ContextPrompt", "name": "context"} | own | shared


def _tokens_per_rank(settings: ReferenceSettings, names: Sequence[str] | None, longest: int) -> list[int]:
    """Tokens of each rank of the plain learner: of its name, or as configured."""
    if longest == 1:
        return [1] * settings.num_ranks
    if settings.rank_file is None:
        given = settings.tokens_per_rank
        counts = [given] * settings.num_ranks if isinstance(given, int) else list(given)
    elif names is None:
        problem = f"the ranks started from the names in {settings.rank_file}, which decide how long each sentence is"
        raise ConfigError("rank_names", "null", problem, allowed="that file, one name a line")
    else:
        from open_clip import SimpleTokenizer

        tokenizer = SimpleTokenizer()
        counts = [len(tokenizer.encode(name)) for name in names]
    if len(counts) != settings.num_ranks or max(counts) != longest or min(counts) < 1:
        problem = f"{len(counts)} ranks of up to {max(counts, default=0)} tokens"
        allowed = f"as in the checkpoint: {settings.num_ranks} ranks, the longest of {longest} tokens"
        raise ConfigError("rank_names", "…", problem, allowed=allowed)
    return counts


def trainable_of(settings: ReferenceSettings) -> dict[str, float | None]:
    """The `trainable` group: what was trained there, and how fast."""
    projection = None if settings.has_clip_image else settings.rates["image"]
    if settings.kind == "Baseline":
        nothing = dict.fromkeys(("context", "rank", "head", "text", "logit_scale"))
        return nothing | {"projection": projection, "image": settings.rates["image"]}
    return {"head": None, "projection": projection} | settings.rates


def defects_of(settings: ReferenceSettings) -> list[str]:
    """What is known to be wrong with how such a checkpoint was made, for the record."""
    found = []
    if settings.chosen_on_test:
        found.append("validation and test are one file: the epoch was chosen on the test set")
    if settings.kind == "Baseline":
        found.append("the head was in no group of the optimiser: it is as it was drawn, never trained")
    if settings.has_clip_image:
        found.append("CLIP's image tower got ImageNet's mean and deviation instead of its own")
    if settings.interpolation == "normal" and settings.learner == "RankPromptLearner" and settings.kind != "Baseline":
        found.append("its weights of `normal` are 0/0 where all base ranks are far away; here they are numbers")
    if settings.rates["image"] is None:
        found.append("a frozen image tower was in training mode: its BatchNorm statistics and Dropout were not frozen")
    return found


def _agree(there: int, said: int, name: str, what: str, path: Path) -> None:
    if there != said:
        raise ConfigError("ckpt", path, f"{name} has {there} {what}; its config says {said}")
