from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ordinalclip.backbones.towers.mini_towers import MiniLMText
from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.text import encoding as text
from ordinalclip.text.encoding import PromptTokens, embed_sentences, encode_prompts, runs_faster_whole
from tests.backbones.makers import make_tokenizer, tiny_clip

SENTENCES = ["a photo of a dog", "the gauge reads 101.", "x"]
SMALL_BERT = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "layer_norm_eps": 1e-12,
}


@pytest.fixture(scope="module", params=[False, True], ids=["CLIP", "CustomTextCLIP"])
def clip(request: pytest.FixtureRequest) -> Any:
    return tiny_clip(custom_text=request.param)


def causal(clip: Any) -> CausalText:
    import open_clip

    return CausalText(clip.text if hasattr(clip, "text") else clip, open_clip.SimpleTokenizer()).eval()


def minilm(tmp_path: Path, projection: nn.Module | None = None) -> MiniLMText:
    torch.manual_seed(0)
    return MiniLMText(
        tokenizer_file=make_tokenizer(tmp_path / "tokenizer.json"),
        projection=nn.Identity() if projection is None else projection,
        embed_dim=16,
        weights_file=None,
        config=SMALL_BERT,
    ).eval()


def test_causal_tower_equals_open_clip_on_plain_sentences(clip: Any) -> None:
    import open_clip

    tower = causal(clip)
    with torch.no_grad():
        ours = encode_prompts(tower, embed_sentences(tower, SENTENCES))
        theirs = clip.encode_text(open_clip.SimpleTokenizer()(SENTENCES))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert ours.shape == (3, tower.embed_dim)


def test_trimmed_sentences_equal_untrimmed_ones(clip: Any) -> None:
    tower = causal(clip)
    tokens = embed_sentences(tower, SENTENCES)
    padding = tower.embed(torch.full((3, tower.context_length - tokens.embeddings.shape[1]), tower.pad_id))
    with torch.no_grad():
        long = tower.encode(torch.cat([tokens.embeddings, padding], 1), tokens.eot)
        torch.testing.assert_close(encode_prompts(tower, tokens), long, atol=1e-6, rtol=0)


def test_only_the_text_tower_is_kept(clip: Any) -> None:
    names = {name.split(".")[0] for name, _ in causal(clip).named_parameters()}
    assert names == {"token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection"}


def test_a_tower_without_a_causal_mask_is_refused() -> None:
    clip = tiny_clip(custom_text=True, no_causal_mask=True)
    with pytest.raises(ValueError, match="causal"):
        causal(clip)


def test_too_long_prompts_are_refused() -> None:
    tower = causal(tiny_clip())
    tokens = PromptTokens(torch.zeros(1, 90, tower.width), torch.tensor([77]))
    with pytest.raises(ValueError, match="78 tokens"):
        encode_prompts(tower, tokens)
    with pytest.raises(ValueError, match="dog dog"):
        embed_sentences(tower, ["a", "dog " * 80])


def test_gradients_reach_prompt_embeddings_up_to_their_end(clip: Any) -> None:
    tower = causal(clip).requires_grad_(False)
    tokens = embed_sentences(tower, SENTENCES)
    leaf = tokens.embeddings.clone().requires_grad_()
    encode_prompts(tower, PromptTokens(leaf, tokens.eot)).square().sum().backward()
    assert leaf.grad is not None
    reached = leaf.grad.abs().sum(-1) > 0
    assert torch.equal(reached, torch.arange(leaf.shape[1]) <= tokens.eot[:, None])


def test_minilm_equals_bert_on_token_ids_with_mean_pooling(tmp_path: Path) -> None:
    tower = minilm(tmp_path)
    sentences = ["a b c", "d", "e f g h i"]
    with torch.no_grad():
        ours = encode_prompts(tower, embed_sentences(tower, sentences))
        for row, sentence in enumerate(sentences):
            # One sentence at a time: no padding, so no mask is needed.
            ids = torch.tensor([tower.prefix_ids + tower.tokenize(sentence) + tower.suffix_ids])
            mean = tower.bert(input_ids=ids).last_hidden_state[0].mean(0)
            torch.testing.assert_close(ours[row], mean / mean.norm(), atol=1e-5, rtol=0)


def test_minilm_does_not_see_what_stands_behind_the_end(tmp_path: Path) -> None:
    tower = minilm(tmp_path, nn.Linear(16, 16))
    tokens = embed_sentences(tower, ["a b c", "d"])
    noisy = tokens.embeddings.clone()
    noisy[1, int(tokens.eot[1]) + 1 :] = 7.0
    with torch.no_grad():
        torch.testing.assert_close(tower.encode(noisy, tokens.eot), tower.encode(tokens.embeddings, tokens.eot))


def test_gradients_reach_prompt_embeddings_through_minilm(tmp_path: Path) -> None:
    tower = minilm(tmp_path).requires_grad_(False)
    tokens = embed_sentences(tower, ["a b c", "d"])
    leaf = tokens.embeddings.clone().requires_grad_()
    (encode_prompts(tower, PromptTokens(leaf, tokens.eot)) @ torch.arange(16.0)).sum().backward()
    assert leaf.grad is not None
    reached = leaf.grad.abs().sum(-1) > 0
    assert torch.equal(reached, torch.arange(leaf.shape[1]) <= tokens.eot[:, None])


def test_a_bidirectional_tower_takes_whole_sentences_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tower = minilm(tmp_path)
    tokens = embed_sentences(tower, ["a b c", "a b"])
    text._logged.clear()
    with torch.no_grad(), caplog.at_level("INFO", "ordinalclip"):
        ours = [encode_prompts(tower, PromptTokens(tokens.embeddings, tokens.eot, 3)) for _ in range(2)]
    assert torch.equal(ours[0], tower.encode(tokens.embeddings, tokens.eot))
    assert [record.message for record in caplog.records] == [
        "MiniLMText reads sentences in both directions: each rank's is run as a whole"
    ]


def test_minilm_reads_weights_with_their_configuration(tmp_path: Path) -> None:
    import json

    from safetensors.torch import save_file

    made = minilm(tmp_path)
    state = {name: tensor.clone() for name, tensor in made.bert.state_dict().items()}
    state["pooler.dense.weight"] = torch.zeros(16, 16)  # in published files, of no use here
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SMALL_BERT | {"architectures": ["BertModel"]}))
    torch.manual_seed(1)
    read = MiniLMText(
        tokenizer_file=tmp_path / "tokenizer.json",
        projection=nn.Identity(),
        embed_dim=16,
        weights_file=tmp_path / "model.safetensors",
    ).eval()
    with torch.no_grad():
        expected = encode_prompts(made, embed_sentences(made, ["a b"]))
        assert torch.equal(encode_prompts(read, embed_sentences(read, ["a b"])), expected)


def test_few_tokens_on_a_gpu_are_run_as_whole_trimmed_sentences(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    tower = CausalText(getattr(clip, "text", clip), open_clip.SimpleTokenizer()).eval()
    tokens = embed_sentences(tower, ["a dog", "a small dog", "a cat"])
    tokens.prefix_length = 2
    lengths: list[int] = []
    encode = tower.encode

    def seen(embeddings: torch.Tensor, eot: torch.Tensor) -> torch.Tensor:
        lengths.append(embeddings.shape[1])
        return encode(embeddings, eot)

    monkeypatch.setattr(tower, "encode", seen)
    with torch.no_grad():
        shared = encode_prompts(tower, tokens)
        assert lengths == []
        monkeypatch.setattr(text, "runs_faster_whole", lambda embeddings: embeddings.shape == (3, 5, tower.width))
        whole = encode_prompts(tower, tokens)
    assert lengths == [5]
    torch.testing.assert_close(whole, shared, atol=1e-6, rtol=1e-5)


def test_on_a_cpu_no_sentences_are_too_few() -> None:
    assert not runs_faster_whole(torch.zeros(2, 5, 8))


@pytest.mark.parametrize(
    ("num_ranks", "length", "dtype", "few"),
    [
        (8, 77, None, True),
        (101, 14, None, False),
        (101, 77, None, False),
        (512, 14, None, False),
        (101, 77, torch.bfloat16, True),
        (101, 77, torch.float16, True),
        (512, 77, torch.float16, False),
        (1024, 14, torch.bfloat16, False),
    ],
)
def test_sentences_are_few_for_a_gpu_where_that_was_measured(
    num_ranks: int, length: int, dtype: torch.dtype | None, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings: Any = SimpleNamespace(is_cuda=True, dtype=torch.float32, shape=(num_ranks, length, 512))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: dtype is not None)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: dtype)
    assert runs_faster_whole(embeddings) == few
