"""Adai from `pytorch_optimizer`: adapts the momentum of each weight instead of its learning rate."""

from collections.abc import Iterable
from typing import Annotated, Any

from pytorch_optimizer import Adai

from ordinalclip.config.kinds import Between

# The library also uses the constructor's `eps` as lower bound of the mean second moment. Gradients of prompts are below
# its default, 1e-3, so that Adai would depend on their scale. This bound only prevents 0/0.
_LEAST_MEAN = 1e-30


def build_adai(
    params: Iterable[dict[str, Any]],
    *,
    betas: tuple[float, float] = (0.1, 0.99),
    eps: Annotated[float, Between(0, 1)] = 1e-3,
    weight_decay: Annotated[float, Between(0, None)] = 0.0,
    decoupled: bool = False,
) -> Adai:
    """Adai, or AdaiW where weight decay is decoupled.

    Args:
        params: groups of parameters, each with its own `lr`.
        betas: how much a weight's mean gradient varies with its second moment; how much of that moment is kept.
        eps: the momentum is at most 1 - eps.
        weight_decay: of groups that have none of their own.
        decoupled: weights shrink by `lr` · `weight_decay` (AdaiW) instead of having it added to their gradient (Adai).
    """
    groups = [{"eps": eps} | group for group in params]
    return Adai(groups, betas=betas, eps=_LEAST_MEAN, weight_decay=weight_decay, weight_decouple=decoupled)
