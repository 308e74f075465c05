"""open_clip's other text towers, and the choice of the class that runs a model's text tower.

`PaddedText` (SigLIP, MobileCLIP, CLIPA): trained on sentences padded to one length without a mask, so padding enters
every feature, and some pool at the last position. Nothing is trimmed and nothing is shared. `HuggingFaceText`: encoders
of Hugging Face's transformers. `text_tower_of` chooses among these and the causal towers of `openclip_causal`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ordinalclip.backbones.towers.openclip_causal import (
    CausalText,
    ClassTokenText,
    OpenClipText,
    TokenizedText,
    words_of,
)
from ordinalclip.errors import ConfigError
from ordinalclip.text.encoding import TextTower

DEFAULT_CONTEXT_LENGTH = 77  # open_clip's, where a model's configuration has none


def build_tokenizer(model: str, folder: Path | None) -> Any:
    """An open_clip `SimpleTokenizer` or `HFTokenizer`, with the model's cleaning of texts and number of tokens.

    Args:
        model: open_clip's name.
        folder: of `find_tokenizer`; None where the model reads CLIP's words.

    Raises:
        ConfigError: if the folder's files are no tokenizer.
    """
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    if folder is None:
        return open_clip.get_tokenizer(model)
    config = open_clip.get_model_config(model)["text_cfg"]
    options = config.get("tokenizer_kwargs", {})
    length = config.get("context_length", DEFAULT_CONTEXT_LENGTH)
    try:
        return HFTokenizer(str(folder), context_length=length, **options, local_files_only=True)
    except Exception as error:  # whatever foreign files make a foreign reader raise
        said = " ".join(str(error).split()[:40])
        problem = f"its files cannot be read as a tokenizer: {type(error).__name__}: {said}"
        raise ConfigError("backbone.tokenizer", folder, problem) from error


class PaddedText(OpenClipText):
    """An open_clip text tower that always runs `context_length` tokens, with or without a causal mask.

    Args:
        source: see `OpenClipText`.
        tokenizer: of open_clip; its padding token fills up sentences.
        pool: the token that is pooled: the `first`, the `last`, or the one at the sentence's `end`.

    Raises:
        ValueError: if the tower has a class token or a padding mask, or `pool` is unknown.
    """

    attn_mask: Tensor | None
    trims = False

    def __init__(self, source: Any, tokenizer: Any, *, pool: str) -> None:
        if getattr(source, "cls_emb", None) is not None or getattr(source, "use_pad_mask", False):
            raise ValueError("only a text tower without a class token or a mask of padding reads padding like words")
        if pool not in ("first", "last", "end"):
            raise ValueError(f"pooling is first, last or end, not {pool}")
        super().__init__(source, tokenizer)
        self.register_buffer("attn_mask", source.attn_mask, persistent=False)
        self.pool = pool

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D] of sentences [R, L, W] whose last token is at `eot` [R], padded to `context_length`."""
        x_RLW = self.pad(embeddings, eot, self.context_length)
        x_RLW = self.transformer(x_RLW + self.positional_embedding, attn_mask=self.attn_mask)
        return self.project(self._pooled(x_RLW, eot))

    def _pooled(self, x_RLW: Tensor, eot: Tensor) -> Tensor:
        if self.pool == "end":
            return x_RLW[torch.arange(len(eot), device=eot.device), eot]
        return x_RLW[:, 0 if self.pool == "first" else -1]


class HuggingFaceText(TokenizedText):
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
        super().__init__(tokenizer)
        self.transformer: Any = source.transformer
        self.pooler: nn.Module = source.pooler
        self.proj: nn.Module = source.proj
        self.width: int = self.transformer.get_input_embeddings().embedding_dim
        self.embed_dim: int = source.output_dim
        self.context_length = self._words.context_length
        if self.pad_id != source.config.pad_token_id:
            problem = f"fills up sentences with token {self.pad_id}; the model masks {source.config.pad_token_id}"
            raise ConfigError("backbone.tokenizer", tokenizer.tokenizer.name_or_path, problem)

    def embed(self, ids: Tensor) -> Tensor:
        """Word embeddings [..., W] of ids [...], scaled where the model does that; positions come in `encode`."""
        return self.transformer.get_input_embeddings()(ids)

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D] of sentences [R, L, W] ending at `eot` [R]; positions behind it are masked."""
        mask_RL = (torch.arange(embeddings.shape[1], device=eot.device) <= eot[:, None]).long()
        hidden = self.transformer(inputs_embeds=embeddings, attention_mask=mask_RL)
        return self.proj(self.pooler(hidden, mask_RL))


def text_tower_of(clip: Any, model: str, tokenizer: Path | None = None) -> TextTower:
    """The text half of an open_clip model.

    Args:
        clip: a `CLIP`, `CustomTextCLIP` or `CoCa`.
        model: its name in open_clip, which decides the tokenizer.
        tokenizer: folder of the tokenizer's files, from `find_tokenizer`; None where it is CLIP's own.

    Raises:
        ConfigError: if the tokenizer's files are of no use, or another model's.
    """
    return tower_with_words(clip.text if hasattr(clip, "text") else clip, build_tokenizer(model, tokenizer))


def tower_with_words(source: Any, tokenizer: Any) -> TextTower:
    """A text tower of open_clip's with its tokenizer.

    Args:
        source: the module that has the text tower's layers.
        tokenizer: of open_clip.
    """
    from open_clip.hf_model import HFTextEncoder

    if isinstance(source, HFTextEncoder):
        return HuggingFaceText(source, tokenizer)
    if getattr(source, "cls_emb", None) is not None:
        return ClassTokenText(source, tokenizer)
    pool = _pool(source, tokenizer)
    if source.attn_mask is None or pool != "end":
        return PaddedText(source, tokenizer, pool=pool)
    return CausalText(source, tokenizer)


def _pool(source: Any, tokenizer: Any) -> str:
    """`first`, `last`, or `end`: where a sentence ends. open_clip finds that in the token ids."""
    # A `CLIP` has its text tower's attributes among its own, some under other names.
    pool_type = source.text_pool_type if hasattr(source, "text_pool_type") else source.pool_type
    if pool_type in ("first", "last"):
        return str(pool_type)
    end = words_of(tokenizer).suffix_ids[-1:]
    looked_for = source.text_eos_id if hasattr(source, "text_eos_id") else source.eos_id
    if pool_type == "eos" and end != [looked_for]:
        problem = f"ends sentences with {end}; the model looks for token {looked_for}"
        raise ConfigError("backbone.tokenizer", tokenizer.tokenizer.name_or_path, problem)
    return "end"
