"""mini's other layer, and its untrained text tower."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ordinalclip.backbones.backbone import Backbone, Perceptron
from ordinalclip.backbones.load import load_backbone, tower_key
from ordinalclip.backbones.mini import build_mini
from ordinalclip.backbones.towers.mini_towers import Lite0Image
from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.config.identity import identity, run_id
from ordinalclip.errors import ConfigError
from ordinalclip.text.encoding import embed_sentences, encode_prompts
from tests.conftest import Compose

RANDOM = {"all": WeightFile("random", None, "random")}
UNTRAINED = ("backbone=mini_untrained_text", "backbone.weights=random", "++backbone.size=64")


def test_stage_five_is_what_the_whole_network_has_on_its_way() -> None:
    torch.manual_seed(0)
    whole = Lite0Image(grid=1, weights_file=None).eval()
    tower = Lite0Image(grid=2, weights_file=None, layer="stage5").eval()
    seen = {}
    whole.net.blocks[4].register_forward_hook(lambda _module, _inputs, output: seen.update(map=output))
    tower.net.load_state_dict(whole.net.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        whole(images)
        features = tower(images)
    assert seen["map"].shape == (2, 112, 4, 4)
    cells = [seen["map"][:, :, i : i + 2, j : j + 2].mean((2, 3)) for i in (0, 2) for j in (0, 2)]
    torch.testing.assert_close(features, torch.cat(cells, dim=1), atol=1e-5, rtol=1e-4)
    assert tower.feature_dim == 448
    names = [name for name, _ in tower.named_parameters()]
    assert not any(name.startswith(("net.blocks.5", "net.blocks.6", "net.conv_head")) for name in names)


def test_no_finer_grid_than_there_are_cells() -> None:
    with pytest.raises(ConfigError, match=r"backbone.grid=8: the map of backbone.layer=last has 7 × 7 cells"):
        build_mini(grid=8, weights=RANDOM)


def test_layer_and_grid_are_in_the_features_key_and_the_text_tower_is_not(compose_cfg: Compose) -> None:
    image = {"image": WeightFile("/x/w.pt", Path("/x/w.pt"), "1")}
    plain, grid, untrained = (
        compose_cfg(f"backbone={name}", small=False)["backbone"]
        for name in ("mini", "mini_grid", "mini_untrained_text")
    )
    assert tower_key(grid, image) == tower_key(untrained, image)
    others = [plain, grid | {"grid": 3}, grid | {"layer": "last"}]
    assert len({tower_key(cfg, image) for cfg in [grid, *others]}) == 4


def test_what_mini_was_keeps_its_runs(compose_cfg: Compose) -> None:
    cfg = compose_cfg("backbone=mini", small=False)
    said = cfg | {"backbone": cfg["backbone"] | {"layer": "last", "text_tower": "minilm"}}
    ids = {run_id(identity(one, manifest_hash="m", weights={})) for one in (cfg, said)}
    other = cfg | {"backbone": cfg["backbone"] | {"text_tower": "untrained"}}
    assert len(ids) == 1
    assert run_id(identity(other, manifest_hash="m", weights={})) not in ids


def test_a_perceptron_equals_its_formula() -> None:
    module = Perceptron(feature_dim=6, embed_dim=3, width=4)
    features = torch.randn(1, 6)
    unit = features[0] / features.norm() * 6**0.5
    hidden = (module.down.weight @ unit + module.down.bias).clamp(min=0)
    torch.testing.assert_close(module(features)[0], module.up.weight @ hidden)
    first = module(features)
    module.reset_parameters()
    assert not torch.equal(module(features), first)


@pytest.fixture
def untrained(compose_cfg: Compose, tmp_path: Path) -> Backbone:
    return load_backbone(compose_cfg(*UNTRAINED, small=False)["backbone"], cache_dir=tmp_path)


@pytest.mark.slow
def test_the_untrained_tower_is_causal_and_the_same_every_time(untrained: Backbone) -> None:
    assert isinstance(untrained.text, CausalText)
    assert (untrained.text.width, untrained.text.embed_dim, untrained.embed_dim) == (384, 1280, 1280)
    text = untrained.text
    tokens = embed_sentences(text, ["the gauge reads 7.", "the gauge reads 70."])
    changed = tokens.embeddings.clone()
    changed[:, int(tokens.eot.max()) + 1 :] += 1
    with torch.inference_mode():
        features = encode_prompts(text, tokens)
        torch.testing.assert_close(text.encode(changed, tokens.eot), features, atol=1e-5, rtol=1e-4)
        again = build_mini(weights=RANDOM, text_tower="untrained").text
        other = encode_prompts(again, embed_sentences(again, ["the gauge reads 7.", "the gauge reads 70."]))
    assert F.cosine_similarity(features[0], features[1], dim=0) < 1 - 1e-4  # it tells sentences apart
    assert not torch.allclose(features, other)  # another draw of the generator


def test_the_untrained_tower_has_no_weights_to_name() -> None:
    file = WeightFile("/x/t.safetensors", Path("/x/t.safetensors"), "1")
    with pytest.raises(ConfigError, match=r"backbone.weights.text=.*text_tower=untrained has none"):
        build_mini(text_tower="untrained", weights={"text": file, "image": RANDOM["all"]})
