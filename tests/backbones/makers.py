"""Small towers, tokenizers and files that the tests of backbones are made on."""

import json
import string
from pathlib import Path
from typing import Any

import torch


def tiny_clip(*, custom_text: bool = False, quick_gelu: bool = False, **text_options: Any) -> Any:
    """A random CLIP of two layers, as either of open_clip's two layouts."""
    from open_clip.model import CLIP, CustomTextCLIP

    torch.manual_seed(0)
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2} | text_options
    return (CustomTextCLIP if custom_text else CLIP)(12, vision, text, quick_gelu=quick_gelu).eval()


def make_tokenizer(path: Path) -> Path:
    """A tokenizer of BERT's kind whose words are the letters; writes it and returns its path."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *string.ascii_lowercase]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(4)  # as published ones do; the tower has to undo it
    tokenizer.save(str(path))
    return path


def tiny_open_clip(folder: Path, name: str = "tiny-text") -> str:
    """Adds a tiny model with D = 12 and images of 16 pixels to open_clip's; returns its name."""
    import open_clip

    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text}
    (folder / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(folder)
    return name
