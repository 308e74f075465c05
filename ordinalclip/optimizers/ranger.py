"""Ranger and Ranger21 from `pytorch_optimizer`: RAdam and AdamW with Lookahead and gradient centralization."""

from typing import Annotated

from pytorch_optimizer import Ranger, Ranger21
from torch.optim.optimizer import ParamsT

from ordinalclip.config.kinds import Between


def build_ranger(
    params: ParamsT,
    *,
    betas: tuple[float, float] = (0.95, 0.999),
    eps: Annotated[float, Between(0, None)] = 1e-5,
    weight_decay: Annotated[float, Between(0, None)] = 0.0,
    lookahead_steps: Annotated[int, Between(1, None)] = 6,
    lookahead_alpha: Annotated[float, Between(0, 1)] = 0.5,
    centralize_gradients: bool = True,
) -> Ranger:
    """RAdam, Lookahead and gradient centralization.

    Args:
        params: groups of parameters, each with its own `lr`.
        betas: how much of the gradient's two moments is kept from step to step.
        eps: added to the root of the second moment.
        weight_decay: decoupled; of groups that have none of their own.
        lookahead_steps: steps between two pulls towards the slow weights.
        lookahead_alpha: how far the slow weights go towards the fast ones.
        centralize_gradients: subtract from a weight's gradient its mean over all dimensions but the first.
    """
    return Ranger(
        params,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        k=lookahead_steps,
        alpha=lookahead_alpha,
        use_gc=centralize_gradients,
        # Where the variance cannot be rectified yet Ranger steps by momentum. The library's default, False, steps by
        # the same amount in the wrong direction (4.1.0: the size -1 that marks such steps is used as a size).
        degenerated_to_sgd=True,
    )


def build_ranger21(
    params: ParamsT,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: Annotated[float, Between(0, None)] = 1e-8,
    weight_decay: Annotated[float, Between(0, None)] = 1e-4,
    lookahead_steps: Annotated[int, Between(1, None)] = 5,
    lookahead_alpha: Annotated[float, Between(0, 1)] = 0.5,
    centralize_gradients: bool = True,
    normalize_gradients: bool = True,
    clipping: Annotated[float, Between(0, None)] = 0.01,
    norm_loss: Annotated[float, Between(0, None)] = 1e-4,
) -> Ranger21:
    """Ranger21 without its own warm-up and warm-down.

    Those assume one learning rate for all parts and would multiply with the factors of `schedule`.

    Args:
        params: groups of parameters, each with its own `lr`.
        betas: how much of the gradient's two moments is kept from step to step.
        eps: added to the root of the second moment.
        weight_decay: decoupled, relative to the gradients' mean second moment; of groups that have none of their own.
        lookahead_steps: steps between two pulls towards the slow weights.
        lookahead_alpha: how much of the fast weights is kept.
        centralize_gradients: subtract from a weight's gradient its mean over all dimensions but the first.
        normalize_gradients: divide gradients by their standard deviation.
        clipping: largest ratio of a gradient's norm to that of its parameter.
        norm_loss: how strongly norms of parameters are pulled towards 1. No weight decay, so it holds for all of them.
    """
    return Ranger21(
        params,
        num_iterations=1,  # used by its own schedule only
        num_warm_up_iterations=0,
        num_warm_down_iterations=0,
        disable_lr_scheduler=True,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        lookahead_merge_time=lookahead_steps,
        lookahead_blending_alpha=lookahead_alpha,
        centralize_gradients=centralize_gradients,
        normalize_gradients=normalize_gradients,
        agc_clipping_value=clipping,
        norm_loss_factor=norm_loss,
    )
