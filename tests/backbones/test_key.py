import importlib.metadata
from pathlib import Path

import pytest

from ordinalclip.backbones import load as key
from ordinalclip.backbones.load import tower_key
from ordinalclip.backbones.weights.find import WeightFile

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
