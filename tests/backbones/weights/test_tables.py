import json
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.backbones.weights import tables as openclip_table
from ordinalclip.backbones.weights.tables import check_model, pretrained_tags
from ordinalclip.errors import ConfigError
from tests.backbones.architectures import published_models


def test_the_table_is_open_clips() -> None:
    import open_clip

    for model in ("ViT-B-16", "RN50", "ViT-B-32-quickgelu", "ViTamin-S", "EVA02-B-16", "no-such-model"):
        ours = pretrained_tags(model)
        assert list(ours) == open_clip.list_pretrained_tags_by_model(model)
        for tag, where in ours.items():
            theirs = open_clip.get_pretrained_cfg(model, tag)
            assert where.url == theirs.get("url", "")
            address = f"{where.repository}/{where.file}" if where.repository else ""
            assert address == theirs.get("hf_hub", "")


def test_openais_addresses_carry_their_hash() -> None:
    for model in ("ViT-B-16", "ViT-B-32", "ViT-L-14", "RN50"):
        published = pretrained_tags(model)["openai"]
        assert len(published.url_sha256) == 64
        assert published.url_file == f"{model}.pt"
        assert published.repository


def test_all_of_open_clips_models_are_taken() -> None:
    models = published_models()
    assert len(models) > 100
    for model in models:
        check_model(model)
    with pytest.raises(ConfigError, match="no model of this name") as caught:
        check_model("ViT-B-61")
    assert "ViT-B-16" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ({"pool_type": "none"}, "each token"),
        ({"hf_tokenizer_name": "somebody/words"}, "highest id"),
        ({"embed_cls": True, "no_causal_mask": True}, "class token"),
        ({"hf_model_name": "a", "hf_tokenizer_name": "a", "hf_pooler_type": "max_pooler"}, "max_pooler"),
        ({"hf_tokenizer_name": "a", "pool_type": "eos", "tokenizer_mode": "clips"}, "special tokens"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(
    text: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model_configs").mkdir()
    (tmp_path / "model_configs" / "odd.json").write_text(json.dumps({"text_cfg": text}))
    monkeypatch.setattr(openclip_table, "open_clip_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match=reason):
        check_model("odd")
