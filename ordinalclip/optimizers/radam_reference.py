"""RAdam of the OrdinalCLIP code: no update as long as the variance cannot be rectified."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from ordinalclip.config.kinds import Between


class RAdamReference(Optimizer):
    """RAdam with two differences from torch's, both of which change numbers [OrdinalCLIP].

    - Where the length of the approximated moving average is below 5, that is in the first five steps with
      `betas[1]` = 0.999, nothing is updated at all; torch takes a step of momentum there. Moments are gathered from the
      first step on.
    - Weight decay is decoupled (weights shrink by `lr` · `weight_decay`) and skipped in those steps, too; torch adds it
      to the gradient.

    Args:
        params: parameters or groups of them.
        lr: of groups that have none of their own.
        betas: how much of the gradient's two moments is kept from step to step.
        eps: added to the root of the second moment.
        weight_decay: of groups that have none of their own.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: Annotated[float, Between(0, None)] = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: Annotated[float, Between(0, None)] = 1e-8,
        weight_decay: Annotated[float, Between(0, None)] = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if len(state) == 0:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        state["exp_avg"].mul_(beta1).add_(parameter.grad, alpha=1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
        size = rectified_step(state["step"], beta1, beta2)
        if size is not None:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            root = state["exp_avg_sq"].sqrt().add_(group["eps"])
            parameter.addcdiv_(state["exp_avg"], root, value=-group["lr"] * size)


def rectified_step(step: int, beta1: float, beta2: float) -> float | None:
    """The factor of first moment / root of the second moment in a step 1, 2, …; including both bias corrections.

    Returns:
        None if the approximated moving average is shorter than 5: its variance is undefined.
    """
    longest = 2 / (1 - beta2) - 1
    kept = beta2**step
    length = longest - 2 * step * kept / (1 - kept)
    if length < 5:
        return None
    shrunk = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return math.sqrt((1 - kept) * shrunk) / (1 - beta1**step)
