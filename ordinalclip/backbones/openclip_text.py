"""CLIP's text tower, taken out of an open_clip model: token embeddings in, a sentence's feature out.

It is causal: nothing behind a sentence's end can reach the feature, so sentences may have any length that fits, and
what they share at the front need be run only once.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ordinalclip.backbones.openclip_block import split_blocks
from ordinalclip.shared_prefix import run_shared
from ordinalclip.text import say_once


class Tokenizer(Protocol):
    """What is used of open_clip's `SimpleTokenizer`."""

    sot_token_id: int
    eot_token_id: int

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without start and end."""
        ...


class CausalText(nn.Module):
    """The text half of an open_clip `CLIP`, or the `text` of a `CustomTextCLIP`.

    Args:
        source: the module that has the text tower's layers as attributes; only those are kept.
        tokenizer: an open_clip `SimpleTokenizer`.

    Raises:
        ValueError: if the tower is of another kind: without a causal mask, with a class token.
    """

    causal_mask: Tensor

    def __init__(self, source: Any, tokenizer: Tokenizer) -> None:
        super().__init__()
        if getattr(source, "attn_mask", None) is None or getattr(source, "cls_emb", None) is not None:
            raise ValueError("only a causal text tower without a class token can be run from embeddings of any length")
        self.token_embedding: nn.Embedding = source.token_embedding
        self.positional_embedding: nn.Parameter = source.positional_embedding
        self.transformer: nn.Module = source.transformer
        self.ln_final: nn.Module = source.ln_final
        self.text_projection: nn.Parameter | nn.Linear | None = source.text_projection
        self.context_length: int = len(source.positional_embedding)
        self.width: int = source.positional_embedding.shape[1]
        self.embed_dim = _output_width(source.text_projection, self.width)
        mask = torch.full((self.context_length, self.context_length), float("-inf")).triu(1)
        self.register_buffer("causal_mask", mask, persistent=False)
        self._encode_words = tokenizer.encode
        self.prefix_ids = [tokenizer.sot_token_id]
        self.suffix_ids = [tokenizer.eot_token_id]
        self.pad_id = 0

    def tokenize(self, text: str) -> list[int]:
        """Byte pair ids of a text in lower case, without start and end."""
        return list(self._encode_words(text))

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings [..., W] of ids [...]; positions come in `encode`."""
        return self.token_embedding(ids)

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D] of sentences [R, L, W] whose last token stands at `eot` [R]."""
        length = embeddings.shape[1]
        x_RLW = embeddings + self.positional_embedding[:length]
        x_RLW = self.transformer(x_RLW, attn_mask=self.causal_mask[:length, :length])
        return self._finish(x_RLW[torch.arange(len(eot), device=eot.device), eot])

    def encode_shared(self, embeddings: Tensor, eot: Tensor, prefix_length: int) -> Tensor:
        """As `encode`, for sentences whose first `prefix_length` tokens are those of the first sentence.

        The prefix's gradients all go to the first sentence's embeddings. A transformer whose blocks are not known is
        run by `encode`.
        """
        blocks = split_blocks(self.transformer)
        if blocks is None:
            kind = type(self.transformer).__name__
            say_once(f"the text tower's {kind} is run a whole sentence per rank: its blocks are not known")
            return self.encode(embeddings, eot)
        position_LW = self.positional_embedding[: embeddings.shape[1]]
        prefix_PW = embeddings[0, :prefix_length] + position_LW[:prefix_length]
        own_RTW = embeddings[:, prefix_length:] + position_LW[prefix_length:]
        return self._finish(run_shared(blocks, prefix_PW, own_RTW, eot - prefix_length))

    def _finish(self, x_RW: Tensor) -> Tensor:
        """Norm and projection, which work on each token by itself and are needed for the last ones only."""
        x_RW = self.ln_final(x_RW)
        if self.text_projection is None:
            return x_RW
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection(x_RW)
        return x_RW @ self.text_projection


def _output_width(projection: nn.Module | Tensor | None, width: int) -> int:
    if projection is None:
        return width
    if isinstance(projection, nn.Linear):
        return projection.out_features
    assert isinstance(projection, Tensor)
    return projection.shape[1]
