import pytest

from ordinalclip.backbones.openclip_table import check_model, pretrained_tags
from ordinalclip.errors import ConfigError


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


@pytest.mark.parametrize("model", ["ViT-B-16", "ViT-B-32", "ViT-L-14", "RN50", "ViT-B-16-quickgelu", "EVA02-B-16"])
def test_causal_towers_with_clips_tokenizer_are_taken(model: str) -> None:
    check_model(model)


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "MobileCLIP-S1", "coca_ViT-B-32", "roberta-ViT-B-32"])
def test_other_text_towers_are_refused_before_anything_is_built(model: str) -> None:
    with pytest.raises(ConfigError, match="text tower"):
        check_model(model)
