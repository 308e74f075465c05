import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ordinalclip import weights
from ordinalclip.backbones.weights.find import find_weights
from ordinalclip.errors import ConfigError
from tests.backbones.weights.test_find import write


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and no caches but those that a test makes."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["weights", *words])
    weights.main()


def test_every_part_is_told_and_brought_into_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    text = write(cache / "clip/resnet50_clip.openai/open_clip_model.safetensors", b"text")
    content = b"image"
    image = write(tmp_path / "image", content)
    name = f"vgg16-{image[:8]}.pth"
    write(tmp_path / "torch/hub/checkpoints" / name, content)
    monkeypatch.setattr(
        "ordinalclip.backbones.weights.published.torchvision_tags", lambda _: {"IMAGENET1K_V1": f"https://host/{name}"}
    )
    run(monkeypatch, "backbone=vgg16_rn50text", f"paths.cache={cache}")
    assert capsys.readouterr().out.splitlines() == [
        "image: IMAGENET1K_V1",
        f"  {cache}/torchvision/{name}",
        f"  0.0 MB, SHA-256 {image}",
        "text: openai",
        f"  {cache}/clip/resnet50_clip.openai/open_clip_model.safetensors",
        f"  0.0 MB, SHA-256 {text}",
        f"for machines without internet: copy {cache}/clip and {cache}/torchvision into the folder paths.cache there",
    ]
    assert (cache / "torchvision" / name).read_bytes() == content


def test_what_is_gathered_from_the_hubs_cache_is_checked_wherever_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    hub = tmp_path / "hub/models--timm--vit_base_patch16_clip_224.openai"
    digest = write(hub / "snapshots/abc/open_clip_model.safetensors", b"weights" * 9)
    write(hub / "refs/main", b"abc")
    (hub / "blobs").mkdir()
    (hub / "snapshots/abc/open_clip_model.safetensors").rename(hub / "blobs" / digest)
    (hub / "snapshots/abc/open_clip_model.safetensors").symlink_to(hub / "blobs" / digest)
    run(monkeypatch, "backbone=vit_b16", f"paths.cache={tmp_path / 'cache'}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    shutil.copytree(tmp_path / "cache/clip", tmp_path / "node/clip")
    cfg = {"model": "ViT-B-16", "weights": "openai", "tag": None}
    assert find_weights(cfg, tmp_path / "node")["all"].sha256 == digest
    (copied,) = (tmp_path / "node").rglob("*.safetensors")
    copied.write_bytes(b"weights" * 4)
    with pytest.raises(ConfigError, match="is not the published file"):
        find_weights(cfg, tmp_path / "node")


@pytest.mark.slow
def test_files_of_packages_paths_and_random_weights_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "w.pt")
    words = ["backbone=vgg16_rn50text", f"backbone.weights.image={tmp_path / 'w.pt'}", "backbone.weights.text=random"]
    run(monkeypatch, *words, f"paths.cache={tmp_path}")
    out = capsys.readouterr().out
    assert "a path: copy it yourself" in out
    assert "drawn at random" in out
    assert "for machines" not in out
    run(monkeypatch, "backbone=mini", f"paths.cache={tmp_path}")
    assert capsys.readouterr().out.count("installed with its package") == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backbone=vit_b16"], "HF_HUB_OFFLINE is set"),
        (["backbone=vgg16_rn50text", "backbone.image_model=vgg61"], "allowed: vgg19, vgg16"),
        (["backbone=convnext_vitb16text", "backbone.image_model=convnext_tiny.fb_in1k"], "weights.image=fb_in1k"),
        (["backbone=resnet50_rn50text", "backbone.image_model=squeezenet1_0"], "its last layer is no Linear"),
        (["backbone=resnet50_rn50text", "backbone.text_model=RN5O"], "backbone.text_model=RN5O"),
        (["backbone=resnet50_rn50text", "backbone.weights.image=IMAGENET"], "allowed: IMAGENET1K_V1, IMAGENET1K_V2"),
        (["backbone=resnet50_rn50text", "backbone.weights=openai"], "one for both can only be random"),
        (["backbone=resnet50_rn50text", "+backbone.weights.txt=openai"], "there is no such part"),
        (["backbone=vit_b61"], "vit_b16"),
        (["backbone=vit_b16", "backbone.opinion=x"], "opinion"),
    ],
)
def test_mistakes_end_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *words, f"paths.cache={tmp_path}")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error


@pytest.mark.slow
def test_no_torch_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['weights', 'backbone=alexnet_rn50text', 'backbone.weights=random']\n"
        "from ordinalclip.weights import main; main()\n"
        "assert not {'torch', 'open_clip', 'timm', 'torchvision', 'transformers'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("all: random")
