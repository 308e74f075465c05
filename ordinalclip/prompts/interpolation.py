"""How much each base rank contributes to each rank. Shapes: R ranks, K base ranks."""

from typing import Literal, get_args

import torch
from torch import Tensor

from ordinalclip.errors import ConfigError

Interpolation = Literal["linear", "inv_prop", "normal", "piecewise"]


def base_positions(num_ranks: int, num_base_ranks: int) -> Tensor:
    """Where the base ranks sit on the axis of ranks 0…R-1: evenly, both ends included; a single one in the middle.

    Returns:
        Positions [K] in units of ranks, float64. They need not be integers.
    """
    if num_base_ranks == 1:
        return torch.tensor([(num_ranks - 1) / 2], dtype=torch.float64)
    return torch.linspace(0, num_ranks - 1, num_base_ranks, dtype=torch.float64)


def interpolation_weights(
    interpolation: Interpolation, num_ranks: int, num_base_ranks: int, at: Tensor | None = None
) -> Tensor:
    """Weights of the base ranks in every rank.

    With d the distance of a rank from a base rank's position, counted in ranks, the rows are, up to their sum:

    - `linear`: 1 - d / (R-1). A blend of all base ranks; it runs through them only where K = 2 [OrdinalCLIP].
    - `inv_prop`: 1 / (d + 1e-5) [OrdinalCLIP].
    - `normal`: exp(-d²) [OrdinalCLIP], as a softmax of -d²: by the formula itself all of a row's terms
      underflow once every base rank is more than ten or so ranks away, and 0/0 is NaN.
    - `piecewise`: linear between adjacent base ranks, so that at most two contribute (ours).

    Args:
        interpolation: one of these.
        num_ranks: R, which the base ranks are spread over.
        num_base_ranks: K.
        at: positions [R] on the axis of ranks in place of 0…R-1; they need not be integers.

    Returns:
        Weights [R, K], float32; every row sums to 1.

    Raises:
        ConfigError: `num_base_ranks` is not within 1…R, or the interpolation is unknown.
    """
    if not 1 <= num_base_ranks <= num_ranks:
        raise ConfigError(
            "prompt.num_base_ranks", num_base_ranks, "out of range", allowed=f"1 to {num_ranks}, the number of ranks"
        )
    positions_K = base_positions(num_ranks, num_base_ranks)
    ranks_R = torch.arange(num_ranks, dtype=torch.float64) if at is None else at.double()
    distance_RK = (ranks_R[:, None] - positions_K).abs()
    if num_base_ranks == 1:
        weights_RK = torch.ones_like(distance_RK)
    elif interpolation == "linear":
        weights_RK = 1 - distance_RK / (num_ranks - 1)
    elif interpolation == "inv_prop":
        weights_RK = 1 / (distance_RK + 1e-5)
    elif interpolation == "normal":
        weights_RK = torch.softmax(-distance_RK.square(), dim=1)
    elif interpolation == "piecewise":
        spacing = (num_ranks - 1) / (num_base_ranks - 1)
        weights_RK = (1 - distance_RK / spacing).clamp(min=0)
    else:
        raise ConfigError("prompt.interpolation", interpolation, "unknown", allowed=", ".join(get_args(Interpolation)))
    return (weights_RK / weights_RK.sum(dim=1, keepdim=True)).float()
