import open_clip
import pytest
import timm
import torch
import torchvision
from open_clip.modified_resnet import ModifiedResNet
from torch import nn

from ordinalclip.errors import ConfigError
from ordinalclip.optimizers.layer_rates import LayerRate, assign_layers

NEUTRAL = {"new_layers": [], "new_factor": 1.0, "base_factor": 1.0, "layer_decay": None}
VIT = [
    "class_embedding",
    "positional_embedding",
    "proj",
    "conv1.weight",
    "transformer.resblocks.0.attn.in_proj_weight",
    "transformer.resblocks.1.ln_1.bias",
    "transformer.resblocks.10.mlp.c_fc.weight",
    "ln_post.weight",
]
VIT_LAYERS = [0, 0, 12, 0, 1, 2, 11, 12]  # twelve at the top: eleven blocks


def names_of(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def layers(names: list[str], **rates: float) -> dict[str, int]:
    rates_by_name = assign_layers(names, NEUTRAL | {"layer_decay": 0.5} | rates)
    return {name: int(group.removeprefix("layer")) for name, (group, _) in rates_by_name.items()}


def test_without_wishes_there_is_one_rate():
    assert assign_layers(VIT, NEUTRAL) == {name: LayerRate("", 1.0) for name in VIT}


def test_layer_decay_is_a_power_of_the_layers_behind():
    rates_by_name = assign_layers(VIT, NEUTRAL | {"layer_decay": 0.75, "base_factor": 0.1})
    for name, layer in zip(VIT, VIT_LAYERS, strict=True):
        assert rates_by_name[name] == LayerRate(f"layer{layer:02}", pytest.approx(0.1 * 0.75 ** (12 - layer)))


def test_new_layers_learn_at_their_own_rate_whatever_their_depth():
    rates = {"new_layers": ["transformer.resblocks.1", "proj"], "new_factor": 10.0, "base_factor": 0.1}
    rates_by_name = assign_layers(VIT, NEUTRAL | rates)
    new = {name for name, value in rates_by_name.items() if value == LayerRate("new", 10.0)}
    assert new == {"proj", "transformer.resblocks.1.ln_1.bias"}  # not resblocks.10
    assert {rates_by_name[name] for name in VIT if name not in new} == {LayerRate("", 0.1)}

    decayed = assign_layers(VIT, NEUTRAL | rates | {"layer_decay": 0.5})
    assert {name for name, value in decayed.items() if value.group == "new"} == new
    assert decayed["conv1.weight"] == LayerRate("layer00", 0.1 * 0.5**12)


@pytest.mark.parametrize("prefix", ["laeyr4", "layer", "fc.weihgt"])
def test_a_prefix_that_nothing_has_is_told_with_what_is_near(prefix):
    with pytest.raises(ConfigError) as caught:
        assign_layers(["conv1.weight", "layer4.0.conv1.weight", "fc.weight"], NEUTRAL | {"new_layers": ["fc", prefix]})
    assert caught.value.key == "image_rates.new_layers"
    assert f"new_layers={prefix}" in str(caught.value)
    assert "conv1, fc, layer4" in str(caught.value)
    assert "did you mean" in str(caught.value)


@pytest.mark.slow
def test_a_tower_whose_order_is_unknown_is_refused():
    names = [name for name, _ in torchvision.models.alexnet().named_parameters()]
    with pytest.raises(ConfigError, match=r"layer_decay=0.5: .*\(classifier, features\)"):
        layers(names)
    # A layer that is neither in front of the blocks nor behind them.
    with pytest.raises(ConfigError, match="side"):
        layers([*VIT, "side.weight"])
    assert (
        assign_layers([*VIT, "side.weight"], NEUTRAL | {"layer_decay": 0.5, "new_layers": ["side"]})[
            "side.weight"
        ].factor
        == 1
    )


def towers():
    vision = {"layers": 3, "width": 32, "heads": 2, "mlp_ratio": 2.0, "output_dim": 16}
    with torch.device("meta"):
        yield "open_clip ViT", open_clip.transformer.VisionTransformer(32, 8, **vision), 3, "conv1.weight", "proj"
        resnet = ModifiedResNet([1, 1, 1, 1], 16, 2, image_size=64, width=8)
        yield "open_clip ResNet", resnet, 4, "bn3.weight", "attnpool.positional_embedding"
        yield "timm ViT", timm.create_model("test_vit"), 6, "pos_embed", "head.weight"
        yield "timm ResNet", timm.create_model("test_resnet"), 4, "conv1.0.weight", "fc.weight"
        yield "timm EfficientNet", timm.create_model("test_efficientnet"), None, "conv_stem.weight", "conv_head.weight"
        yield "timm ConvNeXt", timm.create_model("test_convnext"), 4, "stem.0.weight", "head.fc.weight"
        yield "torchvision ResNet", torchvision.models.resnet18(), 4, "conv1.weight", "fc.weight"
        vit = torchvision.models.VisionTransformer(32, 8, 3, 2, 32, 64)
        yield "torchvision ViT", vit, 3, "class_token", "encoder.ln.weight"


@pytest.mark.parametrize("outer", ["", "trunk.", "tower.net."])
def test_every_kind_of_tower_is_numbered_from_its_patches_to_its_head(outer):
    for kind, tower, num_blocks, first, last in towers():
        names = [outer + name for name in names_of(tower)]
        found = layers(names if outer == "" else [*names, "head.proj.weight"])
        top = max(found.values())
        assert num_blocks in (None, top - 1), kind
        assert found[outer + first] == 0, kind
        assert found[outer + last] == top, kind
        assert set(found.values()) == set(range(top + 1)), kind
        # In the order of the modules, layers never step back.
        order = [found[name] for name in names if "." in name.removeprefix(outer)]
        assert order == sorted(order), kind
        if outer != "":
            assert found["head.proj.weight"] == top, kind
