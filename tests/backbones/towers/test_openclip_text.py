"""Every kind of text tower that open_clip has against its own `encode_text`, on plain sentences."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from ordinalclip.backbones.towers.openclip_text import text_tower_of
from ordinalclip.text.encoding import embed_sentences, encode_prompts
from tests.backbones.architectures import published_models, small_model

SENTENCES = ["the age of the person is 42.", "a dog", "x", "The dog, the dog, the DOG is not of age!"]
SAMPLE = {
    "ViT-B-16": "CausalText",
    "RN50": "CausalText",
    "ViT-L-14": "CausalText",
    "EVA02-B-16": "CausalText",
    "PE-Core-B-16": "CausalText",
    "MobileCLIP-B": "CausalText",
    "ViT-H-14-worldwide": "CausalText",
    "ViT-L-14-worldwide": "CausalText",
    "MobileCLIP-S1": "PaddedText",
    "ViT-B-16-SigLIP": "PaddedText",
    "ViT-B-16-SigLIP2": "PaddedText",
    "ViT-SO400M-16-SigLIP-i18n-256": "PaddedText",
    "ViT-H-14-CLIPA": "PaddedText",
    "coca_ViT-B-32": "ClassTokenText",
    "coca_roberta-ViT-B-32": "HuggingFaceText",
    "roberta-ViT-B-32": "HuggingFaceText",
    "xlm-roberta-base-ViT-B-32": "HuggingFaceText",
    "mt5-base-ViT-B-32": "HuggingFaceText",
    "nllb-clip-base": "HuggingFaceText",
}


def theirs(clip: Any, name: str, sentences: list[str]) -> torch.Tensor:
    ids = open_clip.get_tokenizer(name)(sentences)
    return clip.encode_text(ids, normalize=False)


def check_equal(model: str, tmp_path: Path) -> str:
    clip, name, folder = small_model(model, tmp_path)
    tower = text_tower_of(clip, name, folder)
    with torch.no_grad():
        expected = theirs(clip, name, SENTENCES)
        ours = encode_prompts(tower, embed_sentences(tower, SENTENCES))
    assert (ours - expected).norm() <= 1e-5 * expected.norm()
    assert ours.shape == (4, tower.embed_dim)
    return type(tower).__name__


@pytest.mark.parametrize(("model", "kind"), SAMPLE.items(), ids=SAMPLE)
def test_equals_open_clip_on_plain_sentences(model: str, kind: str, tmp_path: Path) -> None:
    assert check_equal(model, tmp_path) == kind


def kind_of_text(model: str) -> str:
    """What a model's text tower is like, whatever its size and vocabulary."""
    config = open_clip.get_model_config(model)
    sizes = ("width", "heads", "layers", "vocab_size", "mlp_ratio", "hf_tokenizer_name", "hf_model_name")
    text = {key: value for key, value in config["text_cfg"].items() if key not in sizes}
    return json.dumps([text, config.get("quick_gelu"), config.get("custom_text")], sort_keys=True)


@pytest.mark.slow
def test_all_other_kinds_equal_open_clip_too(tmp_path: Path) -> None:
    kinds = {kind_of_text(model): model for model in published_models()}
    for kind in {kind_of_text(model) for model in SAMPLE}:
        kinds.pop(kind)
    assert kinds
    for model in kinds.values():
        check_equal(model, tmp_path / model)
