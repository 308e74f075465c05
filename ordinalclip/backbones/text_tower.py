"""Which class runs the text tower of an open_clip model."""

from pathlib import Path
from typing import Any

from ordinalclip.backbones.openclip_coca import ClassTokenText
from ordinalclip.backbones.openclip_hf import HuggingFaceText
from ordinalclip.backbones.openclip_padded import PaddedText
from ordinalclip.backbones.openclip_text import CausalText
from ordinalclip.backbones.openclip_tokenizer import build_tokenizer
from ordinalclip.backbones.words import words_of
from ordinalclip.errors import ConfigError
from ordinalclip.text import TextTower


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
