"""The end of open_clip's own text towers: norm and projection of the token that stands for the sentence."""

from torch import Tensor, nn

Projection = nn.Parameter | nn.Linear | None  # a matrix, a linear layer (SigLIP), or none


def finish(x_RW: Tensor, ln_final: nn.Module, projection: Projection) -> Tensor:
    """[R, W] → [R, D]. Both steps work on each token by itself and are needed for the pooled ones only."""
    x_RW = ln_final(x_RW)
    if projection is None:
        return x_RW
    return projection(x_RW) if isinstance(projection, nn.Linear) else x_RW @ projection


def output_width(projection: Projection, width: int) -> int:
    """D, of tokens of a width W."""
    if projection is None:
        return width
    return projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1]
