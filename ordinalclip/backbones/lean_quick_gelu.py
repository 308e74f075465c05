"""QuickGELU, x · sigmoid(1.702 x), that keeps one tensor for the backward pass: with SiLU it is silu(1.702 x) / 1.702.

Written as a product, it keeps x and the sigmoid, twice the widest activations of a transformer.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 1.702  # of CLIP's released code


class LeanQuickGELU(nn.Module):
    """QuickGELU of any shape; the same numbers but for rounding, and derivatives of any order."""

    def forward(self, x: Tensor) -> Tensor:
        """The activation of any numbers, each by itself."""
        if x.dtype == torch.float16:  # whose numbers end at 65504: beyond a 1.702th of that, 1.702 x is infinite
            return x * torch.sigmoid(SLOPE * x)
        # SiLU keeps what it was given, so its result may be written over.
        return F.silu(SLOPE * x).div_(SLOPE)


def lean_quick_gelu(module: nn.Module) -> None:
    """Puts `LeanQuickGELU` in the place of each of open_clip's QuickGELUs within a module; they have no state."""
    from open_clip.transformer import QuickGELU

    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is QuickGELU:
                setattr(parent, name, LeanQuickGELU().train(child.training))
