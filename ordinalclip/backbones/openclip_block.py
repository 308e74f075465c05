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

    def queries(self, x: Tensor) -> Tensor:
        """Queries [H, ..., d] of x [..., W]."""
        return self._project(x, 0, 1)[0]

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [H, ..., d] of x [..., W]."""
        keys, values = self._project(x, 1, 3)
        return keys, values

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [H, ..., d] of x [..., W]."""
        queries, keys, values = self._project(x, 0, 3)
        return queries, keys, values

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output [..., W] from its input and the attention's result [H, ..., d]."""
        block = self.block
        x = x + block.ls_1(block.attn.out_proj(attended.movedim(0, -2).flatten(-2)))
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    def _project(self, x: Tensor, start: int, stop: int) -> tuple[Tensor, ...]:
        """Rows `start` to `stop` of (queries, keys, values): those of one kind lie together in one matrix."""
        attention = self.block.attn
        rows = slice(start * attention.embed_dim, stop * attention.embed_dim)
        bias = None if attention.in_proj_bias is None else attention.in_proj_bias[rows]
        projected = F.linear(self.block.ln_1(x), attention.in_proj_weight[rows], bias)
        split = projected.unflatten(-1, (stop - start, attention.num_heads, attention.head_dim))
        # One copy, heads first, is all that attention keeps: the projection's own result is freed.
        return split.movedim((-3, -2), (0, 1)).contiguous().unbind(0)
