import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ordinalclip.backbones import load
from ordinalclip.backbones import load as key
from ordinalclip.backbones.load import load_backbone, tower_key
from ordinalclip.backbones.weights.find import WeightFile

TINY: dict[str, Any] = {
    "_target_": "ordinalclip.backbones.tiny.build_tiny",
    "name": "tiny",
    "weights": "random",
    "projection": "linear",
    "width": 16,
}


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_BUILT", {})


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_frozen_towers_are_built_once_and_shared(tmp_path: Path) -> None:
    first, second = (load_backbone(TINY, cache_dir=tmp_path, trainable={"text": None}) for _ in range(2))
    assert first.image is second.image
    assert first.text is second.text
    assert first.projection is not second.projection
    assert first.logit_scale is not second.logit_scale
    assert not first.image.training
    assert not any(parameter.requires_grad for parameter in first.image.parameters())
    assert all(parameter.requires_grad for parameter in first.projection.parameters())
    assert len(first.tower_key) == 64


def test_trained_towers_are_the_runs_own(tmp_path: Path) -> None:
    first, second = (load_backbone(TINY, cache_dir=tmp_path, trainable={"image": 1e-5}) for _ in range(2))
    assert first.image is not second.image
    assert first.text is second.text
    with torch.no_grad():
        for parameter in first.image.parameters():
            parameter.add_(1)
    assert equal(second.image, load_backbone(TINY, cache_dir=tmp_path).image)
    assert not equal(first.image, second.image)
    own = load_backbone(TINY, cache_dir=tmp_path, trainable={"text": 1e-5})
    assert own.text is not second.text
    assert all(parameter.requires_grad for parameter in own.text_module.parameters())


def test_random_weights_are_always_the_same_and_the_projection_follows_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = load_backbone(TINY, cache_dir=tmp_path, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    monkeypatch.setattr(load, "_BUILT", {})
    torch.manual_seed(6)
    again, other = (load_backbone(TINY, cache_dir=tmp_path, seed=seed) for seed in (1, 2))
    assert equal(first.image, again.image)
    assert equal(first.text_module, again.text_module)
    assert equal(first.projection, again.projection)
    assert not equal(first.projection, other.projection)


def test_without_a_seed_the_projection_is_drawn_from_the_global_generator(tmp_path: Path) -> None:
    projections = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        projections.append(load_backbone(TINY, cache_dir=tmp_path).projection)
    assert equal(projections[0], projections[1])
    assert not equal(projections[0], projections[2])


def test_other_settings_are_another_backbone(tmp_path: Path) -> None:
    first = load_backbone(TINY, cache_dir=tmp_path)
    assert load_backbone(TINY | {"name": "another name"}, cache_dir=tmp_path).image is first.image
    wider = load_backbone(TINY | {"width": 24}, cache_dir=tmp_path)
    assert wider.text.width == 24
    assert wider.tower_key != first.tower_key
    assert load_backbone(TINY | {"projection": "none"}, cache_dir=tmp_path).tower_key == first.tower_key


def test_images_reach_the_space_of_text(tmp_path: Path) -> None:
    backbone = load_backbone(TINY | {"embed_dim": 12}, cache_dir=tmp_path)
    assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, 12)
    assert backbone.text.embed_dim == 12


CFG = {"_target_": "a.b", "name": "x", "grid": 1, "projection": "adapter", "temperature": 0.1, "weights": "…"}
WEIGHTS = {"image": WeightFile("/x/w.pt", Path("/x/w.pt"), "1"), "text": WeightFile("/x/t.pt", Path("/x/t.pt"), "2")}


def test_what_the_image_tower_does_not_depend_on_is_not_in_its_key() -> None:
    same = CFG | {"name": "y", "projection": "linear", "temperature": 0.2, "weights": "other words"}
    moved = {"image": WeightFile("/y/v.pt", Path("/y/v.pt"), "1"), "text": WeightFile("random", None, "random")}
    assert tower_key(same, moved) == tower_key(CFG, WEIGHTS)


def test_what_it_depends_on_is() -> None:
    reference = tower_key(CFG, WEIGHTS)
    assert tower_key(CFG | {"grid": 2}, WEIGHTS) != reference
    assert tower_key(CFG | {"an_option_of_the_future": 0}, WEIGHTS) != reference
    assert tower_key(CFG | {"_target_": "a.c"}, WEIGHTS) != reference
    assert tower_key(CFG, WEIGHTS | {"image": WeightFile("/x/w.pt", Path("/x/w.pt"), "3")}) != reference


def test_one_file_under_two_tags_is_two_towers() -> None:
    first, second = ({"all": WeightFile(tag, Path("/x/w.pt"), "1")} for tag in ("openai", "dfn2b"))
    assert tower_key(CFG, first) != tower_key(CFG, second)


def test_other_libraries_are_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = tower_key(CFG, WEIGHTS)
    monkeypatch.setattr(key, "version", lambda _: "0")
    assert tower_key(CFG, WEIGHTS) != reference


def test_what_we_compute_otherwise_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = tower_key(CFG, WEIGHTS)
    monkeypatch.setattr(key, "_ARITHMETIC", key._ARITHMETIC + 1)
    assert tower_key(CFG, WEIGHTS) != reference


def test_mixed_towers_features_depend_on_the_image_alone() -> None:
    cfg = {"image_library": "torchvision", "image_model": "vgg16", "text_model": "RN50", "text_tag": None, "size": None}
    reference = tower_key(cfg, WEIGHTS)
    assert tower_key(cfg | {"text_model": "ViT-B-16", "text_tag": "openai"}, WEIGHTS) == reference
    assert tower_key(cfg, WEIGHTS | {"text": WeightFile("openai", Path("/x/o.pt"), "4")}) == reference
    for change in ({"image_model": "vgg19"}, {"image_tag": "IMAGENET1K_V1"}, {"size": 256}, {"resize": "squash"}):
        assert tower_key(cfg | change, WEIGHTS) != reference
    assert tower_key(cfg, WEIGHTS | {"image": WeightFile("/x/w.pt", Path("/x/w.pt"), "3")}) != reference


def test_torchvisions_version_counts_where_its_networks_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = [CFG | {"image_library": library} for library in ("torchvision", "timm")]
    before = [tower_key(cfg, WEIGHTS) for cfg in mixed]
    monkeypatch.setattr(key, "version", lambda name: "0" if name == "torchvision" else importlib.metadata.version(name))
    after = [tower_key(cfg, WEIGHTS) for cfg in mixed]
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)
