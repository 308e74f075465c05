import zipfile
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.backbones.weights.find import find_weights
from ordinalclip.backbones.weights.published import uses_quick_gelu
from ordinalclip.backbones.weights.tables import open_clip_models, pretrained_tags
from ordinalclip.errors import ConfigError


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    (tmp_path / "w.pt").write_bytes(b"x")
    return tmp_path / "w.pt"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("a/constants.pkl", "")
    return tmp_path / "a.pt"


def find(tmp_path: Path, model: str, weights: Any, tag: str | None = None) -> None:
    find_weights({"model": model, "weights": str(weights), "tag": tag}, tmp_path, download=False)


def test_the_activation_of_every_tag_is_open_clips() -> None:
    import open_clip

    seen = set()
    for model in open_clip_models():
        for tag in pretrained_tags(model):
            theirs = bool(open_clip.get_pretrained_cfg(model, tag).get("quick_gelu", False))
            assert uses_quick_gelu(model, tag) == theirs, (model, tag)
            # A model that asks for it by name has no weights of the other kind.
            assert theirs or not model.endswith("-quickgelu")
            seen.add(theirs)
    assert seen == {True, False}


def test_weights_of_the_other_activation_are_refused_with_the_models_true_name(tmp_path: Path, plain: Path) -> None:
    for weights, tag, key in (
        ("laion2b_s34b_b88k", None, "backbone.weights"),
        (plain, "laion2b_s34b_b88k", "backbone.tag"),
        ("random", "laion2b_s34b_b88k", "backbone.tag"),
    ):
        with pytest.raises(ConfigError, match="trained with GELU, and ViT-B-16-quickgelu computes QuickGELU") as caught:
            find(tmp_path, "ViT-B-16-quickgelu", weights, tag)
        assert caught.value.key == key
        assert caught.value.remedy == "backbone.model=ViT-B-16"


@pytest.mark.parametrize("tag", ["laion2b_s34b_b88k", "config"])
def test_openais_archives_are_not_said_to_be_anothers(tmp_path: Path, archive: Path, tag: str) -> None:
    with pytest.raises(ConfigError, match=f"backbone.tag={tag}: .*whose models use QuickGELU") as caught:
        find(tmp_path, "ViT-B-16", archive, tag)
    assert "backbone.tag=null" in caught.value.remedy


def test_what_fits_passes(tmp_path: Path, plain: Path, archive: Path) -> None:
    find(tmp_path, "ViT-B-16", archive)
    find(tmp_path, "ViT-B-16", archive, "openai")
    find(tmp_path, "ViT-B-16-quickgelu", archive, "config")
    find(tmp_path, "ViT-B-16", plain, "openai")  # the tag decides
    find(tmp_path, "ViT-B-16-quickgelu", plain, "openai")
    find(tmp_path, "ViT-B-16", "random", "laion2b_s34b_b88k")


def test_parts_of_mixed_towers_are_checked_alike(tmp_path: Path, archive: Path) -> None:
    cfg = {"image_library": "torchvision", "image_model": "vgg16", "text_model": "RN50", "text_tag": "config"}
    with pytest.raises(ConfigError, match=r"backbone\.text_tag=config"):
        find_weights(cfg | {"weights": {"image": "random", "text": str(archive)}}, tmp_path)
