from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ordinalclip.backbones import load
from ordinalclip.backbones.load import load_backbone

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
