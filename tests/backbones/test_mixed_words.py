"""An image tower beside a text tower that has a tokenizer of its own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ordinalclip.backbones.mixed import build_mixed
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.text.encoding import embed_sentences, encode_prompts
from tests.backbones.architectures import small_model
from tests.backbones.towers.test_openclip_text import SENTENCES, theirs

RANDOM = WeightFile("random", None, "random")


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "xlm-roberta-base-ViT-B-32", "coca_ViT-B-32"])
def test_the_text_half_of_a_file_is_the_whole_models(model: str, tmp_path: Path) -> None:
    clip, name, folder = small_model(model, tmp_path)
    state: dict[str, Tensor] = clip.state_dict()
    if "xlm" in model:
        state["text.transformer.embeddings.position_ids"] = torch.arange(8)  # as older files have it
    torch.save(state, tmp_path / "w.pt")
    text = WeightFile(str(tmp_path / "w.pt"), tmp_path / "w.pt", "1")
    words = {} if folder is None else {"tokenizer": WeightFile(str(folder), folder, "2")}
    backbone = build_mixed(
        image_library="open_clip",
        image_model=name,
        text_model=name,
        text_tag="config",
        weights={"image": RANDOM, "text": text, **words},
    ).eval()
    with torch.no_grad():
        ours = encode_prompts(backbone.text, embed_sentences(backbone.text, SENTENCES))
        expected = theirs(clip, name, SENTENCES)
        assert backbone(torch.zeros(1, 3, 16, 16)).shape == (1, 12)
    assert (ours - expected).norm() <= 1e-5 * expected.norm()
