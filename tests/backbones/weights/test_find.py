import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ordinalclip.backbones.weights import hub
from ordinalclip.backbones.weights import tables as openclip_table
from ordinalclip.backbones.weights.find import WeightFile, find_weights, resolve
from ordinalclip.errors import ConfigError

CLIP = {"model": "ViT-B-16", "weights": "openai", "tag": None}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and no caches but those that a test makes."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def write(path: Path, content: bytes = b"weights") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_random_weights_are_no_file(tmp_path: Path) -> None:
    random = WeightFile("random", None, "random")
    assert find_weights({"weights": "random"}, tmp_path) == {"all": random}
    assert find_weights(CLIP | {"weights": "random"}, tmp_path) == {"all": random}
    assert find_weights({"weights": {"image": "random"}}, tmp_path) == {"image": random}


def test_paths_and_package_files_are_found_and_hashed(tmp_path: Path) -> None:
    digest = write(tmp_path / "a b.pt")
    found = find_weights(
        {"weights": {"image": str(tmp_path / "a b.pt"), "text": "package:ordinalclip/errors.py"}}, tmp_path
    )
    assert found["image"] == WeightFile(str(tmp_path / "a b.pt"), tmp_path / "a b.pt", digest)
    assert found["text"].path == Path(sys.modules["ordinalclip"].__path__[0]) / "errors.py"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/no/such/file.pt", "no such file"),
        ("package:no_such_package/x.pt", "is not installed"),
        ("package:ordinalclip/no_such_file", "has no such file"),
    ],
)
def test_missing_files_are_named_with_the_way_out(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        find_weights({"weights": {"image": source}}, tmp_path)
    assert caught.value.key == "backbone.weights.image"
    assert "backbone.weights=random" in str(caught.value)


def test_missing_published_weights_say_where_it_was_looked_and_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_weights(CLIP, tmp_path)
    message = str(caught.value)
    for part in (
        "ViT-B-16",
        "HF_HUB_OFFLINE",
        str(tmp_path / "clip" / "ViT-B-16.pt"),
        str(tmp_path / "hub"),
        "hf download timm/vit_base_patch16_clip_224.openai",
        "backbone.weights=random",
    ):
        assert part in message


def test_a_hub_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "PATIENCE_SECONDS", 0.05)
    heard = threading.Event()

    def silent(*_: object, **__: object) -> None:
        heard.wait(30)
        raise OSError("at last")

    monkeypatch.setattr(hub.urllib.request, "urlopen", silent)
    with pytest.raises(ConfigError, match="the hub could not be reached"):
        find_weights(CLIP, tmp_path)
    heard.set()


def test_downloading_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinalclip.backbones.weights.find.fetch", lambda *_: pytest.fail("tried to download"))
    with pytest.raises(ConfigError, match="not on this machine"):
        find_weights(CLIP, tmp_path, download=False)


@pytest.mark.parametrize(
    "place",
    [
        "clip/vit_base_patch16_clip_224.openai/open_clip_model.safetensors",
        "clip/ViT-B-16-openai.safetensors",
        "hub/models--timm--vit_base_patch16_clip_224.openai/snapshots/abc/open_clip_model.safetensors",
    ],
)
def test_published_weights_are_found_where_they_may_be(tmp_path: Path, place: str) -> None:
    digest = write(tmp_path / place)
    if place.startswith("hub"):
        refs = tmp_path / "hub/models--timm--vit_base_patch16_clip_224.openai/refs"
        refs.mkdir()
        (refs / "main").write_text("abc")
    # The hub's library takes its folder from its own constant at call time.
    assert find_weights(CLIP, tmp_path) == {"all": WeightFile("openai", tmp_path / place, digest)}


def test_openais_own_file_must_have_its_published_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = write(tmp_path / "clip/ViT-B-16.pt")
    with pytest.raises(ConfigError, match="not the published file"):
        find_weights(CLIP, tmp_path)
    at = openclip_table.Pretrained(f"https://host/{digest}/ViT-B-16.pt", "", "")
    monkeypatch.setattr("ordinalclip.backbones.weights.published.pretrained_tags", lambda _: {"openai": at})
    assert find_weights(CLIP, tmp_path)["all"].sha256 == digest


def test_the_hubs_file_must_have_the_hash_that_its_library_noted(tmp_path: Path) -> None:
    from huggingface_hub._local_folder import write_download_metadata

    file = tmp_path / "clip/vit_base_patch16_clip_224.openai/open_clip_model.safetensors"
    digest = write(file)
    write_download_metadata(file.parent, file.name, "abc", digest)
    assert find_weights(CLIP, tmp_path)["all"].sha256 == digest
    file.write_bytes(file.read_bytes()[:-1])  # a copy that was cut off
    with pytest.raises(ConfigError, match=rf"SHA-256 is not {digest[:12]}…"):
        find_weights(CLIP, tmp_path)


def test_the_hubs_cache_names_large_files_by_their_hash(tmp_path: Path) -> None:
    repository = tmp_path / "hub/models--timm--vit_base_patch16_clip_224.openai"
    digest = write(tmp_path / "whole")
    blob, link = repository / "blobs" / digest, repository / "snapshots/abc/open_clip_model.safetensors"
    for folder in (blob.parent, link.parent, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs/main").write_text("abc")
    link.symlink_to(blob)
    blob.write_bytes((tmp_path / "whole").read_bytes())
    assert find_weights(CLIP, tmp_path)["all"].sha256 == digest
    blob.write_bytes(b"another")
    with pytest.raises(ConfigError, match="not the published file"):
        find_weights(CLIP, tmp_path)


def test_a_path_needs_to_say_whose_weights_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "w.pt")
    by_path = CLIP | {"weights": str(tmp_path / "w.pt")}
    with pytest.raises(ConfigError, match=r"backbone.tag=null.*activation"):
        find_weights(by_path, tmp_path)
    with pytest.raises(ConfigError, match=r"backbone.tag=opnai"):
        find_weights(by_path | {"tag": "opnai"}, tmp_path)
    for tag in ("openai", "laion2b_s34b_b88k", "config"):
        assert find_weights(by_path | {"tag": tag}, tmp_path)["all"].path == tmp_path / "w.pt"
    with zipfile.ZipFile(tmp_path / "archive.pt", "w") as archive:
        archive.writestr("ViT-B-16/constants.pkl", "")
    assert find_weights(CLIP | {"weights": str(tmp_path / "archive.pt")}, tmp_path)["all"].path is not None


def test_unknown_tags_and_models_are_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"allowed: openai, laion400m_e31"):
        find_weights(CLIP | {"weights": "laion"}, tmp_path)
    with pytest.raises(ConfigError, match=r"allowed: .*ViT-B-16"):
        find_weights(CLIP | {"model": "ViT-B16"}, tmp_path)


def test_hashes_are_remembered_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = write(tmp_path / "w.pt")
    cfg = {"weights": {"image": str(tmp_path / "w.pt")}}
    assert find_weights(cfg, tmp_path)["image"].sha256 == digest
    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
        assert find_weights(cfg, tmp_path)["image"].sha256 == digest
    changed = write(tmp_path / "w.pt", b"other weights")
    assert find_weights(cfg, tmp_path)["image"].sha256 == changed
    (tmp_path / "sha256.json").write_text("{broken")
    assert find_weights(cfg, tmp_path)["image"].sha256 == changed


def test_finding_weights_imports_no_torch() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from ordinalclip.backbones.weights.find import find_weights\n"
        "cfg = {'model': 'RN50', 'weights': 'random'}\n"
        "find_weights(cfg, Path('.'))\n"
        "assert not {'torch', 'open_clip', 'timm', 'transformers'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_resolve_expands_the_home_folder(tmp_path: Path) -> None:
    write(tmp_path / "home" / "w.pt")
    assert resolve("~/w.pt") == tmp_path / "home" / "w.pt"


def test_a_file_of_the_same_name_with_another_ending_is_told(tmp_path: Path) -> None:
    write(tmp_path / "vgg_imdb_wiki.pt")
    with pytest.raises(ConfigError) as caught:
        resolve(str(tmp_path / "vgg_imdb_wiki.pth"), "backbone.weights.image")
    assert f"what to do: backbone.weights.image={tmp_path / 'vgg_imdb_wiki.pt'}, or run" in str(caught.value)
    with pytest.raises(ConfigError, match="give the path of one"):
        resolve(str(tmp_path / "other.pth"))
