from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ordinalclip.backbones import load
from ordinalclip.backbones.load import load_backbone
from ordinalclip.backbones.mixed import build_mixed
from ordinalclip.backbones.weights.find import WeightFile, find_weights
from ordinalclip.datasets.drawn.gauge import load_gauge
from ordinalclip.errors import ConfigError
from ordinalclip.execution.job import run_job
from ordinalclip.features.extraction import load_features
from ordinalclip.images.preprocessing import reference_preprocessing
from ordinalclip.preparation.prepare import prepare
from ordinalclip.text.encoding import embed_sentences, encode_prompts
from tests.backbones.makers import tiny_open_clip
from tests.conftest import Compose

RANDOM = {"all": WeightFile("random", None, "random")}


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_BUILT", {})


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny open_clip model: D = 12."""
    return tiny_open_clip(tmp_path_factory.mktemp("configs"))


def cfg(text: str, image: str = "resnet18") -> dict[str, Any]:
    return {
        "_target_": "ordinalclip.backbones.mixed.build_mixed",
        "name": "x",
        "image_library": "torchvision",
        "image_model": image,
        "text_model": text,
        "weights": "…",
    }


def by_path(image: Path) -> dict[str, WeightFile]:
    return {"image": WeightFile(str(image), image, "1"), "text": RANDOM["all"]}


def before_last(net: nn.Module, last: str, images: torch.Tensor) -> torch.Tensor:
    """What the plain network hands to its last layer."""
    seen: list[torch.Tensor] = []
    net.get_submodule(last).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net.eval()(images)
    return seen[0]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "last", "width"), [("resnet18", "fc", 512), ("alexnet", "classifier.6", 4096)])
def test_the_tower_is_the_network_up_to_its_last_layer(
    text: str, tmp_path: Path, model: str, last: str, width: int
) -> None:
    from torchvision.models import get_model

    torch.manual_seed(1)
    net = get_model(model)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    images = torch.randn(2, 3, 64, 64)
    backbone = load_backbone(cfg(text, model), cache_dir=tmp_path, weights=by_path(tmp_path / "net.pth"))
    assert (backbone.feature_dim, backbone.embed_dim) == (width, 12)
    torch.testing.assert_close(backbone.image(images), before_last(net, last, images))
    features = backbone.image(images)
    weight = dict(backbone.projection.named_parameters())["linear.weight"]
    assert weight.shape == (12, width)
    torch.testing.assert_close(backbone(images), features @ weight.T)
    # Kaiming, fan out, nothing rectified behind it: deviation 1 / sqrt(D).
    assert weight.std().item() == pytest.approx(12**-0.5, rel=0.05)


@pytest.mark.slow
def test_vgg16_is_the_papers_tower() -> None:
    from torchvision.models import vgg16

    torch.manual_seed(2)
    backbone = build_mixed(
        image_library="torchvision", image_model="vgg16", text_model="RN50", size=32, weights=RANDOM
    ).eval()
    net = vgg16()
    net.load_state_dict(backbone.image.ready().state_dict(), strict=False)  # type: ignore[operator]
    images = torch.randn(1, 3, 32, 32)
    assert (backbone.feature_dim, backbone.embed_dim) == (4096, 1024)
    torch.testing.assert_close(backbone.image(images), before_last(net, "classifier.6", images))


@pytest.mark.slow
def test_a_users_file_is_compared_with_the_network_before_it_is_built(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from torchvision.models import get_model

    state = {f"module.{name}": tensor for name, tensor in get_model("resnet18", num_classes=101).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "imdb.pt")
    settings: dict[str, Any] = {"image_library": "torchvision", "image_model": "resnet18", "text_model": text}
    with caplog.at_level("INFO", logger="ordinalclip"):
        backbone = build_mixed(**settings, weights=by_path(tmp_path / "imdb.pt"))
    assert "imdb.pt: its last layer is left out (fc.weight [101, 512], fc.bias [101])" in caplog.text
    assert backbone.image.tower is None
    torch.testing.assert_close(backbone.image.ready().state_dict()["conv1.weight"], state["module.conv1.weight"])  # type: ignore[operator]
    torch.save(state | {"module.fc2.weight": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(ConfigError, match=r"surplus: fc2\.weight") as caught:
        build_mixed(**settings, weights=by_path(tmp_path / "more.pt"))
    assert caught.value.key == "backbone.weights.image"


@pytest.mark.slow
def test_a_last_layer_of_the_texts_width_is_where_the_projection_starts(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from torchvision.models import get_model

    net = get_model("resnet18", num_classes=12)
    state = {name: tensor for name, tensor in net.state_dict().items() if name != "fc.bias"}
    torch.save(state, tmp_path / "tuned.pt")
    start = {"cache_dir": tmp_path, "weights": by_path(tmp_path / "tuned.pt")}
    with caplog.at_level("INFO", logger="ordinalclip"):
        runs = [load_backbone(cfg(text), seed=seed, **start) for seed in (1, 2)]
    assert "its last layer (fc.weight [12, 512]) is where the projection starts" in caplog.text
    for run in runs:
        assert list(run.projection.state_dict()) == ["linear.weight"]
        torch.testing.assert_close(run.projection.state_dict()["linear.weight"], state["fc.weight"])
    with torch.no_grad():
        next(runs[0].projection.parameters()).add_(1)  # training one run leaves the next one's start alone
    again = load_backbone(cfg(text), seed=1, **start)
    torch.testing.assert_close(again.projection.state_dict()["linear.weight"], state["fc.weight"])


def test_timms_networks_give_their_features(text: str, tmp_path: Path) -> None:
    import timm

    torch.manual_seed(3)
    net = timm.create_model("test_resnet", pretrained=False)
    torch.save({f"module.{name}": tensor for name, tensor in net.state_dict().items()}, tmp_path / "net.pt")
    backbone = build_mixed(
        image_library="timm", image_model="test_resnet", text_model=text, weights=by_path(tmp_path / "net.pt")
    ).eval()
    net.reset_classifier(0)
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(backbone.image(images), net.eval()(images))
    assert backbone.preprocessing.size == 160
    assert backbone.feature_dim == net.num_features


@pytest.mark.slow
def test_a_published_file_of_timms_is_read_by_timm(text: str, tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(4)
    net = timm.create_model("test_vit", pretrained=False)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    weights = by_path(tmp_path / "model.safetensors")
    backbone = build_mixed(
        image_library="timm", image_model="test_vit", image_tag="r160_in1k", text_model=text, weights=weights
    ).eval()
    net.reset_classifier(0)
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(backbone.image(images), net.eval()(images))
    larger = build_mixed(
        image_library="timm", image_model="test_vit", image_tag="r160_in1k", text_model=text, size=192, weights=weights
    ).eval()
    assert larger(torch.zeros(1, 3, 192, 192)).shape == (1, 12)
    save_file({"wrong": torch.zeros(1)}, tmp_path / "other.safetensors")
    other = build_mixed(
        image_library="timm",
        image_model="test_vit",
        image_tag="r160_in1k",
        text_model=text,
        weights=by_path(tmp_path / "other.safetensors"),
    )
    with pytest.raises(ConfigError, match=r"does not fit test_vit\.r160_in1k"):
        other.image(images)


def test_another_clips_tower_keeps_its_projection(text: str, tmp_path: Path) -> None:
    import open_clip

    torch.manual_seed(5)
    clip = open_clip.create_model(text).eval()
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    both = WeightFile(str(tmp_path / "clip.pt"), tmp_path / "clip.pt", "1")
    backbone = build_mixed(
        image_library="open_clip",
        image_model=text,
        image_tag="config",
        text_model=text,
        text_tag="config",
        weights={"image": both, "text": both},
    ).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(backbone.image(images), clip.encode_image(images))
        words = open_clip.SimpleTokenizer()(["a dog"])
        ours = encode_prompts(backbone.text, embed_sentences(backbone.text, ["a dog"]))
        torch.testing.assert_close(ours, clip.encode_text(words), atol=1e-5, rtol=0)
    torch.testing.assert_close(backbone.logit_scale, clip.logit_scale)
    torch.save({k: v for k, v in clip.state_dict().items() if k != "ln_final.weight"}, tmp_path / "half.pt")
    half = WeightFile(str(tmp_path / "half.pt"), tmp_path / "half.pt", "1")
    with pytest.raises(ConfigError, match=r"missing \['ln_final.weight'\]"):
        build_mixed(
            image_library="torchvision",
            image_model="resnet18",
            text_model=text,
            text_tag="config",
            weights={"image": RANDOM["all"], "text": half},
        )


@pytest.mark.slow
def test_the_image_network_brings_the_preprocessing(text: str) -> None:
    def of(**settings: Any) -> Any:
        return build_mixed(text_model=text, weights=RANDOM, **settings).preprocessing

    alexnet = of(image_library="torchvision", image_model="alexnet")
    assert (alexnet.size, alexnet.interpolation, alexnet.resize) == (224, "bilinear", "crop")
    assert alexnet.mean == (0.485, 0.456, 0.406)
    vit = of(image_library="timm", image_model="test_vit", image_tag="r160_in1k", resize="squash")
    assert (vit.size, vit.interpolation, vit.resize) == (160, "bicubic", "squash")
    assert vit.mean == (0.5, 0.5, 0.5)
    swag = of(image_library="torchvision", image_model="vit_b_16", image_tag="IMAGENET1K_SWAG_E2E_V1")
    assert (swag.size, swag.interpolation) == (384, "bicubic")
    assert of(image_library="torchvision", image_model="alexnet", size=96).size == 96


@pytest.mark.slow
@pytest.mark.parametrize("side", [(300, 300), (250, 333)])
def test_images_reach_the_network_as_its_library_brings_them(text: str, side: tuple[int, int]) -> None:
    from timm.data import create_transform, resolve_data_config
    from timm.models import get_pretrained_cfg
    from torchvision.models import ResNet50_Weights

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*side, 3), dtype=np.uint8))

    def ours(**settings: Any) -> Any:
        return build_mixed(text_model=text, weights=RANDOM, **settings).preprocessing.to_tensor(image)

    theirs = ResNet50_Weights.IMAGENET1K_V2.transforms()(image)  # 232 before 224
    tag = {"image_library": "torchvision", "image_model": "resnet50", "image_tag": "IMAGENET1K_V2"}
    torch.testing.assert_close(ours(**tag), theirs)
    config = get_pretrained_cfg("convnext_tiny.in12k_ft_in1k").to_dict()  # type: ignore[union-attr]
    assert config["crop_pct"] < 1
    theirs = create_transform(**resolve_data_config(pretrained_cfg=config))(image)
    tag = {"image_library": "timm", "image_model": "convnext_tiny", "image_tag": "in12k_ft_in1k"}
    torch.testing.assert_close(ours(**tag), theirs)


def test_the_papers_images_are_squashed_to_256_before_their_middle_is_taken(text: str) -> None:
    paper = build_mixed(
        image_library="torchvision", image_model="vgg16", text_model=text, resize="squash", weights=RANDOM
    ).preprocessing
    assert paper == reference_preprocessing(224)


@pytest.mark.parametrize(("model", "size", "words"), [("squeezenet1_0", None, "Conv2d"), ("alexnet", 16, "size=16")])
def test_networks_that_cannot_be_used_are_refused(text: str, model: str, size: int | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_mixed(image_library="torchvision", image_model=model, text_model=text, size=size, weights=RANDOM)


@pytest.mark.slow
def test_random_towers_are_the_same_every_time_and_trained_ones_a_runs_own(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randn(1, 3, 32, 32)
    torch.manual_seed(7)
    first = load_backbone(cfg(text), cache_dir=tmp_path, weights=RANDOM).image(images)
    monkeypatch.setattr(load, "_BUILT", {})
    torch.manual_seed(8)
    tuned = load_backbone(cfg(text), cache_dir=tmp_path, weights=RANDOM, trainable={"image": 1e-4})
    torch.testing.assert_close(tuned.image(images), first)
    assert all(parameter.requires_grad for parameter in tuned.image.parameters())
    assert tuned.image is not load_backbone(cfg(text), cache_dir=tmp_path, weights=RANDOM).image


@pytest.mark.slow
def test_features_are_computed_once_and_survive_another_text(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load_gauge(num_ranks=3, images_per_rank=2, size=16, data_dir=tmp_path, cache_dir=tmp_path)
    settings = cfg(text) | {"size": 32}
    first = load_backbone(settings, cache_dir=tmp_path, weights=RANDOM)
    features = load_features(first, manifest, cache_dir=tmp_path)
    assert features.shape == (len(manifest.table), 512)
    monkeypatch.setattr("ordinalclip.features.extraction.extract", lambda *_, **__: pytest.fail("extracted again"))
    monkeypatch.setattr(load, "_BUILT", {})
    other = load_backbone(settings | {"text_tag": "config"}, cache_dir=tmp_path, weights=RANDOM)
    np.testing.assert_array_equal(load_features(other, manifest, cache_dir=tmp_path), features)
    assert other.image.tower is None  # nobody needed it


def test_parts_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    file = WeightFile("w.pt", tmp_path / "w.pt", "1")
    for weights, words in (
        ({"all": file}, "two files"),
        ({"image": file}, "backbone.weights.text=null: is missing"),
        (RANDOM | {"txt": file}, "backbone.weights.txt=w.pt: no such part"),
    ):
        with pytest.raises(ConfigError, match=words):
            build_mixed(image_library="torchvision", image_model="resnet18", text_model=text, weights=weights)


def test_find_weights_takes_parts(tmp_path: Path) -> None:
    path = tmp_path / "vgg_imdb_wiki.pt"
    path.write_bytes(b"x")
    found = find_weights(cfg("RN50", "vgg16") | {"weights": {"image": str(path), "text": "random"}}, tmp_path)
    assert found["image"].path == path
    assert found["text"].path is None


@pytest.mark.slow
def test_a_run_trains_on_cached_features_and_with_the_image_tower(compose_cfg: Compose) -> None:
    words = [
        "backbone=resnet50_rn50text",
        "backbone.image_library=timm",
        "backbone.image_model=test_resnet",
        "backbone.text_model=ViT-S-32",
        "backbone.weights=random",
        "backbone.size=32",
        "epochs=1",
        "++trainer.limit_batches=2",
    ]
    for extra in ([], ["trainable.image=1e-4"]):
        job = prepare(compose_cfg(*words, *extra))
        run_job(job, in_sweep=True)
        assert job.run.state() == "finished"
        assert np.isfinite(job.run.read_json("test_stats.json")["test/mae"])
