import json
import subprocess
import sys
from pathlib import Path

import pytest

from ordinalclip.backbones.towers.openclip_causal import words_of
from ordinalclip.backbones.towers.openclip_text import build_tokenizer, text_tower_of
from ordinalclip.backbones.weights.find import find_weights
from ordinalclip.backbones.weights.tokenizers import find_tokenizer, tokenizer_hash
from ordinalclip.errors import ConfigError
from tests.backbones.architectures import small_model, write_encoder, write_tokenizer

SIGLIP = "ViT-B-16-SigLIP"
XLM = "xlm-roberta-base-ViT-B-32"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_clips_own_words_need_no_files(tmp_path: Path) -> None:
    assert find_tokenizer("ViT-B-16", None, tmp_path, download=True) is None
    with pytest.raises(ConfigError, match="CLIP's own words"):
        find_tokenizer("ViT-B-16", str(tmp_path), tmp_path, download=True)


def test_a_missing_tokenizer_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_weights({"model": SIGLIP, "weights": "random"}, tmp_path)
    said = str(caught.value)
    assert caught.value.key == "backbone.tokenizer"
    for words in ("timm/ViT-B-16-SigLIP", str(tmp_path / "clip" / SIGLIP), str(tmp_path / "hub"), "hf download"):
        assert words in said


def test_a_folder_of_ones_own_comes_first_and_counts_by_its_content(tmp_path: Path) -> None:
    own = write_tokenizer(tmp_path / "own", "siglip")
    usual = write_tokenizer(tmp_path / "clip" / SIGLIP, "t5")
    assert find_tokenizer(SIGLIP, None, tmp_path, download=False) == usual
    found = find_weights({"model": SIGLIP, "weights": "random", "tokenizer": str(own)}, tmp_path)
    assert found["tokenizer"].path == own
    assert found["tokenizer"].sha256 == tokenizer_hash(own, tmp_path) != tokenizer_hash(usual, tmp_path)
    copy = write_tokenizer(tmp_path / "copy", "siglip")
    assert tokenizer_hash(copy, tmp_path) == tokenizer_hash(own, tmp_path)


def test_a_text_encoder_needs_its_configuration_too(tmp_path: Path) -> None:
    own = write_tokenizer(tmp_path / "own", "roberta")
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        find_tokenizer(XLM, str(own), tmp_path, download=False)
    write_encoder(own, XLM)
    assert find_tokenizer(XLM, str(own), tmp_path, download=False) == own
    with pytest.raises(ConfigError, match="has no vocabulary"):
        find_tokenizer(SIGLIP, str(tmp_path / "nowhere"), tmp_path, download=False)


def test_the_hubs_cache_is_looked_at(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--timm--ViT-B-16-SigLIP"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    snapshot = write_tokenizer(repository / "snapshots" / "abc", "siglip")
    assert find_tokenizer(SIGLIP, None, tmp_path / "elsewhere", download=False) == snapshot


def test_looking_imports_no_torch(tmp_path: Path) -> None:
    code = "import sys, ordinalclip.backbones.weights.tokenizers as t; t.tokenizer_repository('RN50');"
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize(
    ("kind", "prefix", "suffix", "padding"),
    [
        ("bert", [2], [3], 0),
        ("roberta", [0], [2], 1),
        ("t5", [], [1], 0),
        ("siglip", [], [1], 1),
        ("nllb", [4], [2], 1),
    ],
)
def test_special_tokens_are_read_off_a_sentence(
    kind: str, prefix: list[int], suffix: list[int], padding: int, tmp_path: Path
) -> None:
    words = words_of(build_tokenizer("xlm-roberta-base-ViT-B-32", write_tokenizer(tmp_path, kind)))
    assert (words.prefix_ids, words.suffix_ids, words.pad_id) == (prefix, suffix, padding)
    assert words.context_length == 77


def test_the_models_way_of_cleaning_is_kept(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, "siglip")
    canonical, as_written = (words_of(build_tokenizer(model, folder)).encode for model in (SIGLIP, XLM))
    assert canonical("The DOG, is 4.") == canonical("the dog is 4") == as_written("the dog is 4")
    assert as_written("the dog.") != canonical("the dog.")
    assert canonical(".") == []


def test_clipas_separator_is_overwritten(tmp_path: Path) -> None:
    words = words_of(build_tokenizer("ViT-H-14-CLIPA", write_tokenizer(tmp_path, "bert")))
    assert (words.prefix_ids, words.suffix_ids, words.context_length) == ([2], [0], 32)


def test_files_that_are_no_tokenizer_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read as a tokenizer"):
        build_tokenizer(SIGLIP, tmp_path)


def test_a_tokenizer_that_fills_up_on_the_left_is_refused(tmp_path: Path) -> None:
    settings = write_tokenizer(tmp_path, "siglip") / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"padding_side": "left"}))
    with pytest.raises(ConfigError, match="on the right"):
        words_of(build_tokenizer(SIGLIP, tmp_path))


@pytest.mark.parametrize(("model", "other"), [(XLM, "t5"), ("ViT-H-14-worldwide", "t5")])
def test_another_models_tokenizer_is_refused(model: str, other: str, tmp_path: Path) -> None:
    clip, name, _ = small_model(model, tmp_path)
    with pytest.raises(ConfigError, match="the model"):
        text_tower_of(clip, name, write_tokenizer(tmp_path / "other", other))
