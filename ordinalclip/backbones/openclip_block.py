"""open_clip's standard transformer block, taken apart for `ordinalclip.shared_prefix`."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


def split_blocks(transformer: Any) -> "list[OpenClipBlock] | None":
    """A transformer's blocks in parts, or None where any is of a kind whose arithmetic is not known here.

    Types are compared exactly: a subclass, an adapter put in place of a layer or a parametrisation may compute
    something else. What is computed by the modules themselves (norms, MLP, layer scale) may be of any kind.
    """
    from open_clip.transformer import Transformer

    if type(transformer) is not Transformer or not transformer.batch_first:
        return None
    blocks = list(transformer.resblocks)
    return [OpenClipBlock(block) for block in blocks] if blocks and all(map(_is_known, blocks)) else None


def _is_known(block: Any) -> bool:
    from open_clip.transformer import ResidualAttentionBlock

    if type(block) is not ResidualAttentionBlock or hasattr(block, "ln_1_kv"):
        return False
    attention = block.attn
    return (
        type(attention) is nn.MultiheadAttention
        and type(attention.out_proj) in (nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear)
        and attention.batch_first
        and attention.in_proj_weight is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
        and attention.dropout == 0
    )


class OpenClipBlock:
    """Follows `shared_prefix.Block`: x + ls_1(attention(ln_1(x))), then + ls_2(mlp(ln_2(…))).

    Args:
        block: an open_clip `ResidualAttentionBlock`, whose parameters are used where they are.
    """

    def __init__(self, block: Any) -> None:
        self.block = block

    def project(self, x_NW: Tensor, kinds: slice) -> Tensor:
        """Of (queries, keys, values) those that `kinds` selects, n of them: [N, n, H, d]; N may be several sizes."""
        attention = self.block.attn
        # Rows of one kind lie together in the projection's one matrix.
        rows = slice(kinds.start * attention.embed_dim, kinds.stop * attention.embed_dim)
        bias = None if attention.in_proj_bias is None else attention.in_proj_bias[rows]
        projected = F.linear(self.block.ln_1(x_NW), attention.in_proj_weight[rows], bias)
        return projected.unflatten(-1, (kinds.stop - kinds.start, attention.num_heads, attention.head_dim))

    def finish(self, x_NW: Tensor, attended_NHd: Tensor) -> Tensor:
        """The block's output [N, W] from its input and what attention gives."""
        block = self.block
        x_NW = x_NW + block.ls_1(block.attn.out_proj(attended_NHd.flatten(-2)))
        return x_NW + block.ls_2(block.mlp(block.ln_2(x_NW)))
