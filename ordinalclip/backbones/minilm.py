"""MiniLM as a text tower: token embeddings in, a sentence's feature out.

all-MiniLM-L6-v2 (Apache-2.0) is a six-layer BERT of width 384 that was trained on sentence pairs (Reimers & Gurevych,
"Sentence-BERT", EMNLP 2019; Wang et al., "MiniLM", NeurIPS 2020). It is bidirectional, so padding is masked.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

# Nothing here needs the hub; without this transformers may look for updates of what it loads.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# MiniLM-L6's architecture, from its config.json: what random weights are made for.
MINILM_CONFIG: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "layer_norm_eps": 1e-12,
}


class MiniLMText(nn.Module):
    """A BERT sentence encoder with mean pooling, followed by a projection.

    Args:
        tokenizer_file: a `tokenizer.json` with `[CLS]`, `[SEP]` and `[PAD]`.
        projection: maps unit sentence embeddings [R, W] to [R, D].
        embed_dim: D.
        weights_file: a safetensors file of a `BertModel` with its `config.json` beside it; None is random weights.
        config: BERT's sizes where `weights_file` is None.
    """

    trims = True

    def __init__(
        self,
        *,
        tokenizer_file: Path,
        projection: nn.Module,
        embed_dim: int,
        weights_file: Path | None,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        # Seconds to import, and only needed here.
        from transformers.models.bert.modeling_bert import BertConfig, BertModel

        if weights_file is not None:
            settings = json.loads((weights_file.parent / "config.json").read_text(encoding="utf-8"))
            self.bert = BertModel(BertConfig(**_sizes(settings)), add_pooling_layer=False)
            state = load_file(weights_file)
            # The pooler (a tanh layer over [CLS]) is not part of the sentence encoder; position_ids are constants.
            kept = {k: v for k, v in state.items() if not k.startswith("pooler.") and not k.endswith("position_ids")}
            self.bert.load_state_dict(kept)
        else:
            self.bert = BertModel(BertConfig(**(MINILM_CONFIG if config is None else config)), add_pooling_layer=False)
        self.projection = projection
        self.tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.width: int = self.bert.config.hidden_size
        self.embed_dim = embed_dim
        self.context_length: int = self.bert.config.max_position_embeddings
        self.prefix_ids = [self._special("[CLS]")]
        self.suffix_ids = [self._special("[SEP]")]
        self.pad_id = self._special("[PAD]")

    def tokenize(self, text: str) -> list[int]:
        """Word piece ids of a text, without `[CLS]` and `[SEP]`."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def embed(self, ids: Tensor) -> Tensor:
        """Word embeddings [..., W] of ids [...]; positions, types and the norm come in `encode`."""
        return self.bert.embeddings.word_embeddings(ids)

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D] of sentences [R, L, W] ending at `eot` [R]; positions behind it are masked."""
        return self.projection(self.sentence(embeddings, eot))

    def sentence(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Unit sentence embeddings [R, W]: the mean over a sentence's own tokens, `[CLS]` and `[SEP]` included."""
        mask = torch.arange(embeddings.shape[1], device=embeddings.device) <= eot[:, None]
        hidden = self.bert(inputs_embeds=embeddings, attention_mask=mask.long()).last_hidden_state
        kept = mask[..., None].to(hidden.dtype)
        return F.normalize((hidden * kept).sum(1) / kept.sum(1), dim=-1)

    def _special(self, token: str) -> int:
        index = self.tokenizer.token_to_id(token)
        if index is None:
            raise ValueError(f"the tokenizer has no token {token}")
        return int(index)


def _sizes(settings: dict[str, Any]) -> dict[str, Any]:
    """The part of a config.json that shapes the network: the rest belongs to other versions of the library."""
    return {key: settings[key] for key in MINILM_CONFIG}
