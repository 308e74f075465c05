"""open_clip's causal text towers: token embeddings in, one feature per sentence out.

`CausalText` is CLIP's text tower. Nothing behind a sentence's end can reach its feature, so sentences are cut to the
longest one and their shared prefix is run once (`ordinalclip.text.shared_prefix`).

`ClassTokenText` is CoCa's: causal, with a learned class token at the last position, whatever a sentence's length. The
class token attends to the sentence and to the first padding token behind it, but not to itself: open_clip's padding
mask is off by one, and the published weights were trained with it. Sentences are therefore cut one token behind the
longest.

`OpenClipText` holds the layers that all of open_clip's own text towers have. `words_of` reads special tokens and
padding from an open_clip tokenizer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.errors import ConfigError
from ordinalclip.text.encoding import log_once, run_whole
from ordinalclip.text.shared_prefix import run_shared

# Short, lower case and without punctuation, so that no cleaning changes it.
_PROBE = "a dog"


@dataclass(frozen=True)
class Words:
    """How texts become token ids.

    Attributes:
        encode: token ids of a text, without special ones.
        prefix_ids: special tokens in front of every sentence; there may be none.
        suffix_ids: special tokens behind every sentence; there may be none.
        pad_id: the token that fills up shorter sentences.
        context_length: tokens that the tokenizer fills up to, special ones included.
    """

    encode: Callable[[str], list[int]]
    prefix_ids: list[int]
    suffix_ids: list[int]
    pad_id: int
    context_length: int

    def __deepcopy__(self, memo: dict[int, Any]) -> "Words":
        # Nothing here is ever changed; copies of a tower that is trained can share vocabularies of many megabytes.
        return self


def words_of(tokenizer: Any) -> Words:
    """The parts of an open_clip `SimpleTokenizer` or `HFTokenizer`.

    Raises:
        ConfigError: if sentences cannot be put together from its tokens.
    """
    if hasattr(tokenizer, "sot_token_id"):
        # Padding is 0, an exclamation mark's id, which has no other source.
        return Words(tokenizer.encode, [tokenizer.sot_token_id], [tokenizer.eot_token_id], 0, tokenizer.context_length)
    return _of_hugging_face(tokenizer)


def _of_hugging_face(tokenizer: Any) -> Words:
    """What surrounds a sentence is read off one: models' templates differ ([CLS]…[SEP], …</s>, a language's code)."""
    inner = tokenizer.tokenizer

    def encode(text: str) -> list[int]:
        return list(inner(tokenizer.clean_fn(text), add_special_tokens=False, verbose=False).input_ids)

    words, whole = encode(_PROBE), list(inner(_PROBE, verbose=False).input_ids)
    starts = [i for i in range(len(whole)) if whole[i : i + len(words)] == words]
    if not words or not starts:
        raise _unfit(inner, f"it makes {whole} of a sentence and {words} of its words")
    if inner.pad_token_id is None or inner.padding_side != "right":
        raise _unfit(inner, "it does not fill up sentences on the right")
    prefix, suffix = whole[: starts[0]], whole[starts[0] + len(words) :]
    if tokenizer.strip_sep_token:
        # CLIPA was trained with this token overwritten by 0.
        suffix = [0 if index == inner.sep_token_id else index for index in suffix]
    return Words(encode, prefix, suffix, int(inner.pad_token_id), tokenizer.context_length)


def _unfit(inner: Any, problem: str) -> ConfigError:
    return ConfigError("backbone.tokenizer", inner.name_or_path, f"{problem}, so that prompts cannot be made with it")


def split_blocks(transformer: Any) -> "list[OpenClipBlock] | None":
    """A transformer's blocks in parts; None, with a log message, if the arithmetic of any block is not known here.

    Types are compared exactly: a subclass, an adapter in place of a layer or a parametrization may compute something
    else. Norms, MLP and layer scale are called as modules and may be of any kind.
    """
    from open_clip.transformer import Transformer

    known = type(transformer) is Transformer and transformer.batch_first
    if known and transformer.resblocks and all(map(_is_known, transformer.resblocks)):
        return [OpenClipBlock(block) for block in transformer.resblocks]
    kind = type(transformer).__name__
    log_once(f"the text tower's {kind} has unknown blocks: each rank's sentence is run as a whole")
    return None


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
    """Implements `shared_prefix.Block`: x + ls_1(attention(ln_1(x))), then + ls_2(mlp(ln_2(…))).

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


class TokenizedText(nn.Module):
    """The tokenizer's side of a text tower: special tokens and `tokenize`.

    Args:
        tokenizer: of open_clip.
    """

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self._words = words_of(tokenizer)
        self.prefix_ids = self._words.prefix_ids
        self.suffix_ids = self._words.suffix_ids
        self.pad_id = self._words.pad_id

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        return self._words.encode(text)


class OpenClipText(TokenizedText):
    """Layers of an open_clip text tower: the text half of a `CLIP`, or the `text` of a `CustomTextCLIP`.

    Args:
        source: the module that has the text tower's layers as attributes; only those are kept.
        tokenizer: of open_clip.
    """

    cls_emb: nn.Parameter | None

    def __init__(self, source: Any, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self.token_embedding: nn.Embedding = source.token_embedding
        self.register_parameter("cls_emb", getattr(source, "cls_emb", None))
        self.positional_embedding: nn.Parameter = source.positional_embedding
        self.transformer: nn.Module = source.transformer
        self.ln_final: nn.Module = source.ln_final
        self.text_projection: nn.Parameter | nn.Linear | None = source.text_projection  # a Linear in SigLIP
        self.width: int = source.positional_embedding.shape[1]
        self.context_length: int = len(source.positional_embedding) - (0 if self.cls_emb is None else 1)
        self.embed_dim = self._output_width()

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings [..., W] of ids [...], without positions, which `encode` adds."""
        return self.token_embedding(ids)

    def project(self, x_RW: Tensor) -> Tensor:
        """Features [R, D] of pooled tokens [R, W]: the final norm and the projection, which work on single tokens."""
        x_RW = self.ln_final(x_RW)
        if self.text_projection is None:
            return x_RW
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection(x_RW)
        return x_RW @ self.text_projection

    def pad(self, embeddings: Tensor, eot: Tensor, length: int) -> Tensor:
        """Sentences [R, length, W] with the padding token's embedding at every position after `eot` [R]."""
        inside_RL1 = (torch.arange(length, device=eot.device) <= eot[:, None])[..., None]
        x_RLW = F.pad(embeddings, (0, 0, 0, length - embeddings.shape[1]))
        return torch.where(inside_RL1, x_RLW, self.token_embedding.weight[self.pad_id].to(x_RLW.dtype))

    def _output_width(self) -> int:
        if self.text_projection is None:
            return self.width
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection.out_features
        return self.text_projection.shape[1]


class CausalText(OpenClipText):
    """A causal text tower pooled at a sentence's end, as CLIP's.

    Args:
        source: see `OpenClipText`.
        tokenizer: of open_clip; its last special token is the sentence's end.

    Raises:
        ValueError: if the tower has no causal mask, or has a class token.
    """

    causal_mask: Tensor
    trims = True

    def __init__(self, source: Any, tokenizer: Any) -> None:
        if getattr(source, "attn_mask", None) is None or getattr(source, "cls_emb", None) is not None:
            raise ValueError("only a causal text tower without a class token can be run from embeddings of any length")
        super().__init__(source, tokenizer)
        mask = torch.full((self.context_length, self.context_length), float("-inf")).triu(1)
        self.register_buffer("causal_mask", mask, persistent=False)

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D] of sentences [R, L, W] whose last token is at `eot` [R]."""
        length = embeddings.shape[1]
        x_RLW = embeddings + self.positional_embedding[:length]
        x_RLW = self.transformer(x_RLW, attn_mask=self.causal_mask[:length, :length])
        return self.project(x_RLW[torch.arange(len(eot), device=eot.device), eot])

    def encode_shared(self, embeddings: Tensor, eot: Tensor, prefix_length: int) -> Tensor:
        """As `encode`, for sentences whose first `prefix_length` tokens are those of the first sentence.

        The prefix's gradients all go to the first sentence's embeddings. A transformer whose blocks are not known is
        run by `encode`.
        """
        blocks = split_blocks(self.transformer)
        if blocks is None:
            return run_whole(self.encode, embeddings, eot, length=embeddings.shape[1])
        position_LW = self.positional_embedding[: embeddings.shape[1]]
        prefix_PW = embeddings[0, :prefix_length] + position_LW[:prefix_length]
        own_RTW = embeddings[:, prefix_length:] + position_LW[prefix_length:]
        return self.project(run_shared(blocks, prefix_PW, own_RTW, eot - prefix_length))


class ClassTokenText(OpenClipText):
    """The text tower of an open_clip `CoCa`, pooled at its class token.

    open_clip masks by token ids, so it takes a word of id 0 (a `!` followed by others) for padding. Here only what
    follows a sentence's end is padding.

    Args:
        source: the `text` of the model, see `OpenClipText`.
        tokenizer: of open_clip.

    Raises:
        ValueError: if the tower is not causal, has no class token, or has a corrected padding mask.
    """

    cls_emb: nn.Parameter
    trims = True

    def __init__(self, source: Any, tokenizer: Any) -> None:
        if source.attn_mask is None or source.cls_emb is None or source.correct_cls_mask:
            raise ValueError("only a causal text tower with a class token and CoCa's mask can be run by its rules")
        super().__init__(source, tokenizer)
        self.heads: int = source.heads

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D] of sentences [R, L, W] ending at `eot` [R]; the class token comes here."""
        x_RLW, allowed_RLL = self._with_class_token(embeddings, eot)
        mask_RLL = torch.zeros_like(allowed_RLL, dtype=x_RLW.dtype).masked_fill(~allowed_RLL, float("-inf"))
        # torch's attention wants a mask for each sentence and head.
        x_RLW = self.transformer(x_RLW, attn_mask=mask_RLL.repeat_interleave(self.heads, 0))
        return self.project(x_RLW[:, -1])

    def encode_shared(self, embeddings: Tensor, eot: Tensor, prefix_length: int) -> Tensor:
        """As `encode`, for sentences whose first `prefix_length` tokens are those of the first sentence."""
        blocks = split_blocks(self.transformer)
        if blocks is None:
            return run_whole(self.encode, embeddings, eot, length=embeddings.shape[1] + 2)
        x_RLW, allowed_RLL = self._with_class_token(embeddings, eot)
        own_RTW = x_RLW[:, prefix_length:]
        class_token_R = torch.full_like(eot, own_RTW.shape[1] - 1)
        allowed_RTT = allowed_RLL[:, prefix_length:, prefix_length:]
        x_RW = run_shared(blocks, x_RLW[0, :prefix_length], own_RTW, class_token_R, allowed_RTT=allowed_RTT)
        return self.project(x_RW)

    def _with_class_token(self, embeddings: Tensor, eot: Tensor) -> tuple[Tensor, Tensor]:
        """Sentences with one padding token, class token and positions; and which token [R, L, L] attends to which."""
        length = min(embeddings.shape[1] + 1, self.context_length)
        position_L = torch.tensor([*range(length), self.context_length], device=eot.device)
        x_RLW = self.pad(embeddings, eot, length)
        x_RLW = torch.cat([x_RLW, self.cls_emb.to(x_RLW.dtype).expand(len(eot), 1, -1)], dim=1)
        seen_R1L = position_L <= eot[:, None, None] + 1
        return x_RLW + self.positional_embedding[position_L], seen_R1L & (position_L <= position_L[:, None])
