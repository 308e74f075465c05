import pytest
import torch

from ordinalclip.backbones.tiny import build_tiny
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.errors import ConfigError

RANDOM = {"all": WeightFile("random", None, "random")}


def test_tiny_is_a_clip() -> None:
    backbone = build_tiny(weights=RANDOM)
    assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, 64)
    assert backbone.text.tokenize("Dog") == backbone.text.tokenize("dog")
    assert (backbone.text.prefix_ids, backbone.text.suffix_ids) == ([49406], [49407])


def test_tiny_refuses_what_it_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"backbone.width=20: is not a multiple of 8"):
        build_tiny(width=20, weights=RANDOM)
