"""Parts of the model that are trained, their parameter groups, the optimizer and the scheduler."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, Protocol, get_args

from hydra.utils import instantiate
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ordinalclip.config.checks import DESCRIPTIVE
from ordinalclip.config.schema import PARTS
from ordinalclip.errors import ConfigError
from ordinalclip.model import OrdinalCLIP
from ordinalclip.optimizers.layer_rates import LayerRate, assign_layers

DecayOn = Literal["weights", "all"]

# Parts without weight decay by default: decay would pull tokens towards 0, which means nothing to the text tower.
_NEVER_DECAYED = ("context", "rank", "logit_scale")
# Parameters that are added to activations like biases, of any shape: positions and class tokens, by their names in
# open_clip, timm, torchvision and transformers. They are not decayed either.
_NOT_WEIGHTS = {
    *("class_embedding", "positional_embedding", "cls_emb"),
    *("cls_token", "reg_token", "dist_token", "pos_embed", "relative_position_bias_table"),
    *("class_token", "pos_embedding"),
    *("position_embeddings", "position_embedding"),
}


class Schedule(Protocol):
    """Anything in `ordinalclip.optimizers.schedules`."""

    def factor(self, epoch: int, num_epochs: int) -> float:
        """Factor of the learning rates in an epoch 0…num_epochs-1."""
        ...


def freeze(model: OrdinalCLIP, trainable: Mapping[str, float | None]) -> None:
    """Sets `requires_grad` of each part's parameters, and eval mode of frozen parts for good.

    All parts may be frozen, for a model that is only evaluated.

    Args:
        model: the model; its mode (training or evaluation) is kept.
        trainable: learning rate of every part; None freezes it.

    Raises:
        ConfigError: a part is missing or unknown, or a rate is not above 0.
    """
    check_trainable(trainable)
    parts = model.parts()
    for part, parameters in parts.items():
        for _, parameter in parameters:
            parameter.requires_grad_(trainable[part] is not None)
    model.train(model.training)


def check_trainable(trainable: Mapping[str, float | None]) -> None:
    """Raises a ConfigError unless every part, and nothing else, has a learning rate above 0 or None."""
    for part in sorted({*PARTS} ^ {*trainable}):
        problem = "no such part" if part in trainable else "missing; null freezes it"
        raise ConfigError(f"trainable.{part}", trainable.get(part), problem, allowed=", ".join(PARTS))
    for part, rate in trainable.items():
        if rate is not None and not rate > 0:
            raise ConfigError(
                f"trainable.{part}", rate, "would not train it", allowed="a number above 0, or null to freeze it"
            )


def build_parameter_groups(
    model: OrdinalCLIP,
    trainable: Mapping[str, float | None],
    weight_decay: float = 0.0,
    weight_decay_on: DecayOn = "weights",
    image_rates: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Freezes parts and sorts the other parameters into the optimizer's groups.

    A learning rate of a part that the model does not have (a head under `prompt=rank`) is ignored.

    Args:
        model: the model, changed as by `freeze`.
        trainable: learning rate of every part; None freezes it.
        weight_decay: of the parameters that are decayed.
        weight_decay_on: `weights`: not biases and norms (all of at most one dimension), the towers' positions and class
            tokens, context and rank tokens and the logit scale. `all`: everything [OrdinalCLIP].
        image_rates: as in `schema.ImageRates`; None: the image tower learns at one rate.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and `name`: the part, for stages of the image tower `image/new` or
        `image/layer03`, followed by `/no_decay` if not decayed. Empty if nothing can be trained (fixed prompts
        and frozen towers).

    Raises:
        ConfigError: see `freeze` and `layer_rates.assign_layers`; or an unknown `weight_decay_on`.
    """
    if weight_decay_on not in get_args(DecayOn):
        raise ConfigError("optimizer.weight_decay_on", weight_decay_on, "unknown", allowed=", ".join(get_args(DecayOn)))
    freeze(model, trainable)
    groups: list[dict[str, Any]] = []
    for part, parameters in model.parts().items():
        rate = trainable[part]
        if rate is None:
            continue
        inner = {name: name.removeprefix("backbone.image.") for name, _ in parameters}
        layer_rates = (
            assign_layers(list(inner.values()), image_rates) if part == "image" and image_rates is not None else {}
        )
        own: dict[str, dict[str, Any]] = {}
        for name, parameter in parameters:
            group, factor = layer_rates.get(inner[name], LayerRate("", 1.0))
            decayed = weight_decay_on == "all" or _is_weight(part, name, parameter)
            key = "/".join(word for word in (part, group, "" if decayed else "no_decay") if word)
            values = {"name": key, "params": [], "lr": rate * factor, "weight_decay": weight_decay if decayed else 0.0}
            own.setdefault(key, values)["params"].append(parameter)
        groups += [own[key] for key in sorted(own)]
    return groups


def build_optimizer(
    optimizer_cfg: Mapping[str, Any],
    model: OrdinalCLIP,
    trainable: Mapping[str, float | None],
    image_rates: Mapping[str, Any] | None = None,
) -> Optimizer:
    """The optimizer of the `optimizer` group over the model's parameter groups.

    Args:
        optimizer_cfg: `_target_`, called with parameter groups, and its arguments; besides, `weight_decay_on` (see
            `build_parameter_groups`) and `lookahead`, a mapping as in `schema.Lookahead` or None.
        model: see `build_parameter_groups`.
        trainable: see `build_parameter_groups`.
        image_rates: see `build_parameter_groups`.

    Raises:
        ConfigError: see `build_parameter_groups`; or nothing can be trained, or the optimizer rejects a value.
    """
    arguments = {str(k): value for k, value in optimizer_cfg.items() if k not in DESCRIPTIVE["optimizer"]}
    weight_decay_on = optimizer_cfg.get("weight_decay_on", "weights")
    groups = build_parameter_groups(model, trainable, arguments.get("weight_decay", 0.0), weight_decay_on, image_rates)
    if not groups:
        raise ConfigError("trainable", dict(trainable), "nothing here can be trained; evaluate it instead")
    # Not as an argument of instantiate, which would copy the parameters into a config and train the copies.
    construct = instantiate(arguments, _partial_=True, _convert_="all")
    try:
        optimizer: Optimizer = construct(groups)
    except (ValueError, TypeError) as error:  # a value that only the optimizer itself checks
        given = {key: value for key, value in arguments.items() if key != "_target_"}
        problem = f"{arguments['_target_'].rpartition('.')[2]} refuses its settings: {error}"
        raise ConfigError("optimizer", given, problem) from error
    lookahead = optimizer_cfg.get("lookahead")
    if lookahead is None:
        return optimizer
    from pytorch_optimizer import Lookahead  # takes a second to import, which few runs need

    return Lookahead(optimizer, k=lookahead["steps"], alpha=lookahead["alpha"])


def build_scheduler(optimizer: Optimizer, schedule: Schedule, num_epochs: int) -> LambdaLR:
    """A picklable scheduler, stepped once per epoch."""
    return LambdaLR(optimizer, partial(schedule.factor, num_epochs=num_epochs))


def _is_weight(part: str, name: str, parameter: nn.Parameter) -> bool:
    words = {name.rpartition(".")[2], name.removesuffix(".weight").rpartition(".")[2]}
    return part not in _NEVER_DECAYED and parameter.ndim > 1 and not words & _NOT_WEIGHTS
