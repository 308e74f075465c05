from pathlib import Path

import pytest

from ordinalclip.backbones.weights.published import Published, published_weights
from ordinalclip.backbones.weights.tables import UNFIT, timm_models, timm_tags, torchvision_models, torchvision_tags


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
    assert set(UNFIT) < set(torchvision_models())


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
