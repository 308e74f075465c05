import zipfile
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.backbones.weights.find import find_weights
from ordinalclip.backbones.weights.published import Published, published_weights, uses_quick_gelu
from ordinalclip.backbones.weights.tables import (
    UNSUPPORTED,
    open_clip_models,
    pretrained_tags,
    timm_models,
    timm_tags,
    torchvision_models,
    torchvision_tags,
)
from ordinalclip.errors import ConfigError


@pytest.mark.slow
def test_torchvisions_tables_are_its_own() -> None:
    from torchvision import models

    assert set(torchvision_models()) == set(models.list_models(module=models))
    for model in torchvision_models():
        theirs = models.get_model_weights(model)
        ours = torchvision_tags(model)
        assert set(ours) == {tag for tag in theirs.__members__ if not tag.endswith("_FEATURES")}
        assert all(url == theirs[tag].url for tag, url in ours.items())
        assert all(published.sha256 in published.url for published in published_weights("torchvision", model).values())


def test_what_torchvision_cannot_be_used_for_is_known() -> None:
    assert set(UNSUPPORTED) < set(torchvision_models())


@pytest.mark.slow
def test_timms_tables_are_its_own() -> None:
    import timm
    from timm.models import get_pretrained_cfg

    assert set(timm_models()) == set(timm.list_models())
    computed = []  # by timm's own code, not written down: such weights can be named by a path
    for model in timm_models():
        names = [name for name in timm.list_pretrained(f"{model}.*") if name.partition(".")[0] == model]
        ours = timm_tags(model)
        tags = {name.partition(".")[2] for name in names}
        assert set(ours) in (tags, set())
        if set(ours) != tags:
            computed.append(model)
        for tag, where in ours.items():
            theirs = get_pretrained_cfg(f"{model}.{tag}")
            assert (where.url, where.repository) == (theirs.url or "", theirs.hf_hub_id or "")
    assert len(computed) < 0.03 * len(timm_models()), computed


def test_timms_small_networks_and_their_weights() -> None:
    where = published_weights("timm", "resnet10t")["c3_in1k"]
    assert where.repository == "timm/resnet10t.c3_in1k"
    assert where.sha256 == "f3215ab1"
    assert where.hub_files[0] == "model.safetensors"


def test_hashes_stand_in_addresses() -> None:
    assert published_weights("torchvision", "vgg16")["IMAGENET1K_V1"].sha256 == "397923af"
    assert published_weights("torchvision", "mnasnet0_5")["DEFAULT"].sha256 == "3ffadce67e"
    assert len(published_weights("open_clip", "RN50")["openai"].sha256) == 64
    assert published_weights("open_clip", "RN50")["yfcc15m"].sha256 == "455df137"  # by the same convention


def test_files_may_lie_in_the_platforms_folder_or_in_the_librarys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    vgg = published_weights("torchvision", "vgg16")["IMAGENET1K_V1"]
    assert vgg.places(tmp_path)[:2] == [
        tmp_path / "torchvision/vgg16-397923af.pth",
        tmp_path / "torch/hub/checkpoints/vgg16-397923af.pth",
    ]
    timm = Published("timm", "a", "b", repository="timm/a.b", hub_files=("model.safetensors",))
    assert timm.places(tmp_path) == [tmp_path / "timm/a.b/model.safetensors", tmp_path / "timm/a.b.safetensors"]


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
