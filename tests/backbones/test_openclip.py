import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ordinalclip.backbones.openclip import build_openclip
from ordinalclip.backbones.towers.openclip_models import preprocessing_of, published_settings
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.errors import ConfigError
from ordinalclip.text.encoding import embed_sentences, encode_prompts

CONFIG: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
RANDOM = {"all": WeightFile("random", None, "random")}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a tiny model among open_clip's."""
    import open_clip

    folder = tmp_path_factory.mktemp("configs")
    (folder / "tiny-for-tests.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    return "tiny-for-tests"


def reference(quick_gelu: bool) -> Any:
    from open_clip.model import CLIP

    torch.manual_seed(3)
    clip = CLIP(**CONFIG, quick_gelu=quick_gelu).eval()
    with torch.no_grad():
        # Activations of about 1, where the two kinds of GELU differ visibly.
        for name, parameter in clip.named_parameters():
            if "mlp.c_fc.weight" in name:
                parameter.mul_(10)
    return clip


def by_path(path: Path) -> dict[str, WeightFile]:
    return {"all": WeightFile(str(path), path, "1")}


@pytest.mark.parametrize(("tag", "quick_gelu"), [("openai", True), ("config", False)])
def test_a_files_tag_decides_its_activation(model: str, tmp_path: Path, tag: str, quick_gelu: bool) -> None:
    import open_clip

    theirs = reference(quick_gelu)
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    ours = build_openclip(model=model, tag=tag, weights=by_path(tmp_path / "w.pt")).eval()
    images, sentences = torch.randn(2, 3, 16, 16), ["a dog", "the year is 1937"]
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs.encode_image(images))
        text = encode_prompts(ours.text, embed_sentences(ours.text, sentences))
        torch.testing.assert_close(text, theirs.encode_text(open_clip.SimpleTokenizer()(sentences)), atol=1e-5, rtol=0)
        wrong = reference(not quick_gelu).encode_image(images)
        assert (wrong - ours(images)).abs().max() > 1e-3
    torch.testing.assert_close(ours.logit_scale, theirs.logit_scale)
    assert isinstance(ours.projection, nn.Identity)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_openais_archives_load_with_quick_gelu(model: str, tmp_path: Path) -> None:
    clip = reference(quick_gelu=True)

    class Archive(nn.Module):
        """As OpenAI publishes them: half precision, with three settings among the tensors."""

        def __init__(self) -> None:
            super().__init__()
            for name, child in clip.named_children():
                setattr(self, name, child)
            for name in ("positional_embedding", "text_projection", "logit_scale"):
                setattr(self, name, getattr(clip, name))
            for name, value in (("input_resolution", 16), ("context_length", 77), ("vocab_size", 49408)):
                self.register_buffer(name, torch.tensor(value))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scale: torch.Tensor = self.logit_scale  # type: ignore[assignment]
            return x * scale

    archive = Archive().half()
    torch.jit.save(torch.jit.trace(archive, torch.ones(1, dtype=torch.half)), str(tmp_path / "tiny.pt"))
    ours = build_openclip(model=model, weights=by_path(tmp_path / "tiny.pt")).eval()
    assert next(ours.image.parameters()).dtype == torch.float32
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), clip.float().encode_image(images))
    torch.save(clip.state_dict(), tmp_path / "plain.pt")
    sized = [
        build_openclip(model=model, tag="openai", size=32, weights=by_path(tmp_path / name)).image.state_dict()
        for name in ("tiny.pt", "plain.pt")
    ]
    assert sized[0]["positional_embedding"].shape[0] == 1 + 4 * 4
    assert all(torch.equal(sized[0][name], tensor) for name, tensor in sized[1].items())


def test_published_weights_bring_their_preprocessing() -> None:
    openai = preprocessing_of((224, 224), published_settings("ViT-B-16", "openai"), "ViT-B-16")
    assert (openai.interpolation, openai.resize) == ("bicubic", "crop")
    assert openai.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    meta = preprocessing_of((224, 224), published_settings("PE-Core-B-16", "meta"), "PE-Core-B-16")
    assert (meta.interpolation, meta.resize, meta.mean) == ("bilinear", "squash", (0.5, 0.5, 0.5))


def test_random_weights_are_fed_as_all_published_ones_are() -> None:
    from ordinalclip.backbones.towers.openclip_models import _agreed, preprocessing_of, published_settings

    siglip = preprocessing_of(224, published_settings("ViT-B-16-SigLIP", None), "ViT-B-16-SigLIP")
    assert (siglip.mean, siglip.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (siglip.interpolation, siglip.resize) == ("bicubic", "squash")
    assert "quick_gelu" not in published_settings("ViT-B-16", None)
    published = [{"mean": (0, 0, 0), "interpolation": "bicubic"}, {"mean": (0, 0, 0), "interpolation": "bilinear"}]
    assert _agreed(published) == {"mean": (0, 0, 0)}
    assert _agreed([]) == {}


def test_a_file_of_another_model_is_named(model: str, tmp_path: Path) -> None:
    torch.save({"positional_embedding": torch.zeros(77, 8)}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=f"does not fit {model}"):
        build_openclip(model=model, tag="config", weights=by_path(tmp_path / "w.pt"))


def test_sizes_and_adapters_are_options(model: str) -> None:
    backbone = build_openclip(model=model, size=32, projection="adapter", adapter_width=4, weights=RANDOM)
    assert backbone.preprocessing.size == 32
    assert backbone(torch.zeros(1, 3, 32, 32)).shape == (1, 12)


def test_several_files_are_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="several files"):
        build_openclip(model=model, weights={"image": RANDOM["all"], "text": RANDOM["all"]})


@pytest.mark.slow
@pytest.mark.parametrize(("model", "dim"), [("ViT-B-16", 512), ("RN50", 1024)])
def test_the_true_architectures_run_untrained(model: str, dim: int) -> None:
    backbone = build_openclip(model=model, weights=RANDOM).eval()
    with torch.inference_mode():
        assert backbone(torch.zeros(1, 3, 224, 224)).shape == (1, dim)
        assert encode_prompts(backbone.text, embed_sentences(backbone.text, ["a dog"])).shape == (1, dim)
    assert backbone.logit_scale.exp().item() == pytest.approx(1 / 0.07, rel=1e-5)
