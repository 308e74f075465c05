"""CLIP's text tower, taken out of an open_clip model: token embeddings in, a sentence's feature out.

It is causal: nothing behind a sentence's end can reach the feature, so sentences may have any length that fits, and
what they share at the front need be run only once.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ordinalclip.backbones.openclip_block import split_blocks
from ordinalclip.backbones.openclip_output import Projection, finish, output_width
from ordinalclip.backbones.words import words_of
from ordinalclip.shared_prefix import run_shared
from ordinalclip.text import say_once
from ordinalclip.whole_sentences import run_whole


class CausalText(nn.Module):
    """The text half of an open_clip `CLIP`, or the `text` of a `CustomTextCLIP`, pooled at a sentence's end.

    Args:
        source: the module that has the text tower's layers as attributes; only those are kept.
        tokenizer: of open_clip; it decides where a sentence's end is.

    Raises:
        ValueError: if the tower is of another kind: without a causal mask, with a class token.
    """

    causal_mask: Tensor
    trims = True

    def __init__(self, source: Any, tokenizer: Any) -> None:
        super().__init__()
        if getattr(source, "attn_mask", None) is None or getattr(source, "cls_emb", None) is not None:
            raise ValueError("only a causal text tower without a class token can be run from embeddings of any length")
        self.token_embedding: nn.Embedding = source.token_embedding
        self.positional_embedding: nn.Parameter = source.positional_embedding
        self.transformer: nn.Module = source.transformer
        self.ln_final: nn.Module = source.ln_final
        self.text_projection: Projection = source.text_projection
        self.context_length: int = len(source.positional_embedding)
        self.width: int = source.positional_embedding.shape[1]
        self.embed_dim = output_width(source.text_projection, self.width)
        mask = torch.full((self.context_length, self.context_length), float("-inf")).triu(1)
        self.register_buffer("causal_mask", mask, persistent=False)
        self._words = words_of(tokenizer)
        self.prefix_ids = self._words.prefix_ids
        self.suffix_ids = self._words.suffix_ids
        self.pad_id = self._words.pad_id

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without start and end."""
        return self._words.encode(text)

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
            return run_whole(self.encode, embeddings, eot, length=embeddings.shape[1])
        position_LW = self.positional_embedding[: embeddings.shape[1]]
        prefix_PW = embeddings[0, :prefix_length] + position_LW[:prefix_length]
        own_RTW = embeddings[:, prefix_length:] + position_LW[prefix_length:]
        return self._finish(run_shared(blocks, prefix_PW, own_RTW, eot - prefix_length))

    def _finish(self, x_RW: Tensor) -> Tensor:
        return finish(x_RW, self.ln_final, self.text_projection)
