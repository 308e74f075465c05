"""The towers of the backbone "mini": EfficientNet-Lite0 for images, MiniLM for text, and the projection between them.

EfficientNet-Lite0: Tan & Le, "EfficientNet", ICML 2019; the Lite variant is Google's for mobile processors; its
features are the input of the ImageNet classifier. MiniLM: all-MiniLM-L6-v2, a six-layer BERT of width 384 trained on
sentence pairs (Reimers & Gurevych, "Sentence-BERT", EMNLP 2019; Wang et al., "MiniLM", NeurIPS 2020); it is
bidirectional, so padding is masked. `untrained_text` is a causal text tower with random weights, a control. All
weights: Apache-2.0.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from ordinalclip.backbones.checks import MAPS
from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.backbones.towers.torchvision_image import pool_to_grid

Layer = Literal["last", "stage5"]

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
VOCABULARY = 49408
HEAD_WIDTH = 64  # CLIP's
SENTENCE_WIDTH = 384
HIDDEN_WIDTH = 1024
FEATURE_WIDTH = 1280


class Lite0Image(nn.Module):
    """Images [B, 3, 224, 224] → features [B, F], F = C · grid².

    Args:
        grid: the layer's map is averaged down to grid × grid cells, which are laid end to end (row by row, each cell's
            channels together). 1 is the usual global average, which forgets where things are.
        weights_file: the package's `.pth`; None is random weights.
        layer: "last", what the classifier sees: C = 1280 on 7 × 7. "stage5", the fifth of seven stages, which knows
            less of objects and more of where edges and parts are: C = 112 on 14 × 14.
    """

    def __init__(self, *, grid: int, weights_file: Path | None, layer: Layer = "last") -> None:
        super().__init__()
        # Seconds to import, and only needed here.
        from timm.models.efficientnet import tf_efficientnet_lite0

        self.grid = grid
        self.feature_dim = MAPS[layer][0] * grid**2
        self.net = tf_efficientnet_lite0()
        if weights_file is not None:
            self.net.load_state_dict(renamed(load_tensors(weights_file), self.net))
        self.net.reset_classifier(0)
        if layer == "stage5":
            self.net.blocks = self.net.blocks[:5]
            self.net.conv_head = self.net.bn2 = nn.Identity()
        self.net.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] → features [B, C · grid²], not normalised."""
        # This layout is nearly twice as fast on a CPU, and the faster one on GPUs with reduced precision.
        map_BCHW = self.net.forward_features(images.contiguous(memory_format=torch.channels_last))
        return pool_to_grid(map_BCHW, (self.grid, self.grid)).permute(0, 2, 3, 1).flatten(1)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` file in their order; nothing in it is executed."""
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def renamed(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """The tensors under timm's names: both list the same layers in the same order.

    Raises:
        ValueError: if number or shapes differ, so that the file is of another network.
    """
    names = net.state_dict()
    shapes = [tuple(t.shape) for t in names.values()]
    if [tuple(t.shape) for t in state.values()] != shapes:
        raise ValueError("the file's tensors are not those of EfficientNet-Lite0")
    return dict(zip(names, state.values(), strict=True))


# Nothing here needs the hub; without this transformers may look for updates of what it loads.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


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


class SentenceProjection(nn.Module):
    """Unit sentence embeddings [R, 384] → [R, 1280], a perceptron with one hidden layer.

    Args:
        dropout: of the hidden layer, while it is fitted; as a part of a backbone it has none.
    """

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(SENTENCE_WIDTH, HIDDEN_WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(HIDDEN_WIDTH, FEATURE_WIDTH)

    def forward(self, sentences: Tensor) -> Tensor:
        """Unit sentence embeddings [R, 384] → features [R, 1280], not normalised."""
        # Entries of about 1 instead of 1/sqrt(384), which is what the layers' initial weights are made for.
        scaled = sentences * SENTENCE_WIDTH**0.5
        return self.output(self.dropout(nn.functional.gelu(self.hidden(scaled))))


def load_projection(path: Path | None) -> SentenceProjection:
    """The projection in a safetensors file, in float32; None is random weights."""
    projection = SentenceProjection()
    if path is not None:
        projection.load_state_dict(load_file(path))  # copies the file's float16 into float32
    return projection


def save_projection(projection: SentenceProjection, path: Path) -> None:
    """Writes a projection in float16, half the size; cosines change by less than 1e-3."""
    state = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in projection.state_dict().items()}
    save_file(state, path)
