"""CoCa's text tower from open_clip: causal, with a learned token at the very end that stands for the sentence.

The class token has the last position there is, whatever a sentence's length. It sees the sentence, the first token
of the padding behind it, and not itself: open_clip's mask of the padding is off by one, and published weights were
trained with it. So sentences can still be cut, one token behind the longest, and what they share is run once.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.backbones.openclip_block import split_blocks
from ordinalclip.backbones.openclip_output import Projection, finish, output_width
from ordinalclip.backbones.words import words_of
from ordinalclip.shared_prefix import run_shared
from ordinalclip.text import say_once
from ordinalclip.whole_sentences import run_whole


class ClassTokenText(nn.Module):
    """The text tower of an open_clip `CoCa`.

    open_clip masks by token ids and so takes a word of id 0 (a `!` that others follow) for padding; here only what
    stands behind a sentence's end is.

    Args:
        source: the `text` of the model; only its layers are kept.
        tokenizer: of open_clip.

    Raises:
        ValueError: if the tower is of another kind: not causal, without a class token, with a mask not off by one.
    """

    trims = True

    def __init__(self, source: Any, tokenizer: Any) -> None:
        super().__init__()
        if source.attn_mask is None or source.cls_emb is None or source.correct_cls_mask:
            raise ValueError("only a causal text tower with a class token and CoCa's mask can be run by its rules")
        self.token_embedding: nn.Embedding = source.token_embedding
        self.cls_emb: nn.Parameter = source.cls_emb
        self.positional_embedding: nn.Parameter = source.positional_embedding
        self.transformer: nn.Module = source.transformer
        self.ln_final: nn.Module = source.ln_final
        self.text_projection: Projection = source.text_projection
        self.heads: int = source.heads
        self.context_length: int = len(source.positional_embedding) - 1
        self.width: int = source.positional_embedding.shape[1]
        self.embed_dim = output_width(source.text_projection, self.width)
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
        """Features [R, D] of sentences [R, L, W] ending at `eot` [R]; the class token comes here."""
        x_RLW, allowed_RLL = self._with_class_token(embeddings, eot)
        mask_RLL = torch.zeros_like(allowed_RLL, dtype=x_RLW.dtype).masked_fill(~allowed_RLL, float("-inf"))
        # torch's attention wants a mask for each sentence and head.
        x_RLW = self.transformer(x_RLW, attn_mask=mask_RLL.repeat_interleave(self.heads, 0))
        return finish(x_RLW[:, -1], self.ln_final, self.text_projection)

    def encode_shared(self, embeddings: Tensor, eot: Tensor, prefix_length: int) -> Tensor:
        """As `encode`, for sentences whose first `prefix_length` tokens are those of the first sentence."""
        blocks = split_blocks(self.transformer)
        if blocks is None:
            kind = type(self.transformer).__name__
            say_once(f"the text tower's {kind} is run a whole sentence per rank: its blocks are not known")
            return run_whole(self.encode, embeddings, eot, length=embeddings.shape[1] + 2)
        x_RLW, allowed_RLL = self._with_class_token(embeddings, eot)
        own_RTW = x_RLW[:, prefix_length:]
        class_token_R = torch.full_like(eot, own_RTW.shape[1] - 1)
        allowed_RTT = allowed_RLL[:, prefix_length:, prefix_length:]
        x_RW = run_shared(blocks, x_RLW[0, :prefix_length], own_RTW, class_token_R, allowed_RTT=allowed_RTT)
        return finish(x_RW, self.ln_final, self.text_projection)

    def _with_class_token(self, embeddings: Tensor, eot: Tensor) -> tuple[Tensor, Tensor]:
        """Sentences with a token of padding, the class token and positions; and which token [R, L, L] sees which."""
        length = min(embeddings.shape[1] + 1, self.context_length)
        position_L = torch.tensor([*range(length), self.context_length], device=eot.device)
        x_RLW = F.pad(embeddings, (0, 0, 0, length - embeddings.shape[1]))
        inside_RL1 = (position_L[:-1] <= eot[:, None])[..., None]
        x_RLW = torch.where(inside_RL1, x_RLW, self.token_embedding.weight[self.pad_id].to(x_RLW.dtype))
        x_RLW = torch.cat([x_RLW, self.cls_emb.to(x_RLW.dtype).expand(len(eot), 1, -1)], dim=1)
        seen_R1L = position_L <= eot[:, None, None] + 1
        return x_RLW + self.positional_embedding[position_L], seen_R1L & (position_L <= position_L[:, None])
