"""A causal text tower that nobody has trained: a control that shows what of a result is language."""

from ordinalclip.backbones.minilm import MINILM_CONFIG
from ordinalclip.backbones.openclip_text import CausalText

VOCABULARY = 49408
HEAD_WIDTH = 64  # CLIP's


def untrained_text(embed_dim: int) -> CausalText:
    """CLIP's text tower in MiniLM's size (6 layers of width 384) with CLIP's tokenizer and initial weights.

    The weights are drawn from torch's global generator, which `load_backbone` seeds the same every time.

    Args:
        embed_dim: D.
    """
    import open_clip
    from open_clip.model import CLIP

    width: int = MINILM_CONFIG["hidden_size"]
    text = {"context_length": 77, "vocab_size": VOCABULARY, "width": width, "heads": width // HEAD_WIDTH}
    # CLIP's class makes both towers; the smallest image tower there is, since it is thrown away.
    vision = {"image_size": 8, "patch_size": 8, "width": 8, "layers": 1, "head_width": 8}
    clip = CLIP(embed_dim, vision, text | {"layers": MINILM_CONFIG["num_hidden_layers"]})
    return CausalText(clip, open_clip.SimpleTokenizer())
