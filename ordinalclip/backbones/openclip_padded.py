"""Text towers of open_clip that read padding like words: SigLIP's, MobileCLIP's, CLIPA's.

They were trained on sentences filled up to one length, without a mask, so that padding has a say in every feature, and
some pool at the very last position. Leaving it out would be another model: nothing is trimmed and nothing is shared.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.backbones.openclip_output import Projection, finish, output_width
from ordinalclip.backbones.words import words_of


class PaddedText(nn.Module):
    """An open_clip text tower that always runs `context_length` tokens; with or without a causal mask.

    Args:
        source: the module that has the text tower's layers as attributes; only those are kept.
        tokenizer: of open_clip; its padding fills up sentences.
        pool: which token stands for the sentence: `first`, `last`, or the one at the sentence's `end`.

    Raises:
        ValueError: if the tower has a class token, or masks padding.
    """

    attn_mask: Tensor | None
    trims = False

    def __init__(self, source: Any, tokenizer: Any, *, pool: str) -> None:
        super().__init__()
        if getattr(source, "cls_emb", None) is not None or getattr(source, "use_pad_mask", False):
            raise ValueError("only a text tower without a class token or a mask of padding reads padding like words")
        if pool not in ("first", "last", "end"):
            raise ValueError(f"pooling is first, last or end, not {pool}")
        self.token_embedding: nn.Embedding = source.token_embedding
        self.positional_embedding: nn.Parameter = source.positional_embedding
        self.transformer: nn.Module = source.transformer
        self.ln_final: nn.Module = source.ln_final
        self.text_projection: Projection = source.text_projection
        self.register_buffer("attn_mask", source.attn_mask, persistent=False)
        self.pool = pool
        self.context_length: int = len(source.positional_embedding)
        self.width: int = source.positional_embedding.shape[1]
        self.embed_dim = output_width(source.text_projection, self.width)
        self._words = words_of(tokenizer)
        self.prefix_ids = self._words.prefix_ids
        self.suffix_ids = self._words.suffix_ids
        self.pad_id = self._words.pad_id

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without special ones."""
        return self._words.encode(text)

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings [..., W] of ids [...]; positions come in `encode`."""
        return self.token_embedding(ids)

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D] of sentences [R, L, W] whose last token stands at `eot` [R], padded here whatever follows."""
        position_L = torch.arange(self.context_length, device=eot.device)
        inside_RL1 = (position_L <= eot[:, None])[..., None]
        x_RLW = F.pad(embeddings, (0, 0, 0, self.context_length - embeddings.shape[1]))
        x_RLW = torch.where(inside_RL1, x_RLW, self.token_embedding.weight[self.pad_id].to(x_RLW.dtype))
        x_RLW = self.transformer(x_RLW + self.positional_embedding, attn_mask=self.attn_mask)
        return finish(self._pooled(x_RLW, eot), self.ln_final, self.text_projection)

    def _pooled(self, x_RLW: Tensor, eot: Tensor) -> Tensor:
        if self.pool == "end":
            return x_RLW[torch.arange(len(eot), device=eot.device), eot]
        return x_RLW[:, 0 if self.pool == "first" else -1]
