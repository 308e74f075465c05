"""Which class runs the text tower of an open_clip model."""

from typing import Any

from ordinalclip.backbones.openclip_text import CausalText
from ordinalclip.errors import ConfigError
from ordinalclip.text import TextTower


def text_tower_of(clip: Any, model: str) -> TextTower:
    """The text half of an open_clip model.

    Args:
        clip: a `CLIP` or `CustomTextCLIP`.
        model: its name in open_clip, which decides the tokenizer.

    Raises:
        ConfigError: if its words come from another tokenizer than CLIP's.
    """
    import open_clip

    tokenizer = open_clip.get_tokenizer(model)
    if not isinstance(tokenizer, open_clip.SimpleTokenizer):
        raise ConfigError("backbone.model", model, "its tokenizer is not CLIP's")
    return CausalText(clip.text if hasattr(clip, "text") else clip, tokenizer)
