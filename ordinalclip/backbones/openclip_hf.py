"""Text encoders of Hugging Face's transformers, as open_clip puts them beside an image tower."""

from typing import Any

import torch
from torch import Tensor, nn

from ordinalclip.backbones.words import words_of
from ordinalclip.errors import ConfigError


class HuggingFaceText(nn.Module):
    """An open_clip `HFTextEncoder` (RoBERTa, XLM-R, mT5's or NLLB's encoder): transformer, pooling, projection.

    It reads in both directions and masks padding, so sentences may be cut behind the longest one.

    Args:
        source: the `HFTextEncoder`; its parts are used where they are.
        tokenizer: an open_clip `HFTokenizer`.

    Raises:
        ConfigError: if the tokenizer is another model's.
    """

    trims = True

    def __init__(self, source: Any, tokenizer: Any) -> None:
        super().__init__()
        self.transformer: Any = source.transformer
        self.pooler: nn.Module = source.pooler
        self.proj: nn.Module = source.proj
        self.width: int = self.transformer.get_input_embeddings().embedding_dim
        self.embed_dim: int = source.output_dim
        self._words = words_of(tokenizer)
        self.context_length = self._words.context_length
        self.prefix_ids = self._words.prefix_ids
        self.suffix_ids = self._words.suffix_ids
        self.pad_id = self._words.pad_id
        if self.pad_id != source.config.pad_token_id:
            problem = f"fills up sentences with token {self.pad_id}; the model masks {source.config.pad_token_id}"
            raise ConfigError("backbone.tokenizer", tokenizer.tokenizer.name_or_path, problem)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without special ones."""
        return self._words.encode(text)

    def embed(self, ids: Tensor) -> Tensor:
        """Word embeddings [..., W] of ids [...], scaled where the model does that; positions come in `encode`."""
        return self.transformer.get_input_embeddings()(ids)

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D] of sentences [R, L, W] ending at `eot` [R]; positions behind it are masked."""
        mask_RL = (torch.arange(embeddings.shape[1], device=eot.device) <= eot[:, None]).long()
        hidden = self.transformer(inputs_embeds=embeddings, attention_mask=mask_RL)
        return self.proj(self.pooler(hidden, mask_RL))
