"""The words of a prompt's parts, put together, are those of the sentence that they make up."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from ordinalclip.backbones.towers.openclip_text import build_tokenizer, text_tower_of
from ordinalclip.errors import ConfigError
from ordinalclip.prompts.fixed import FixedPrompt
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.prompts.sentence import Sentence, pad_rows, sentence_layout, tokenize_continued
from tests.backbones.architectures import small_model, write_byte_pairs, write_tokenizer
from tests.fakes import FakeText


def sentence(text=None, num_rank_tokens=(1, 3, 2), **options):
    settings = {
        "context": "the age is",
        "num_context_tokens": None,
        "rank_specific_context": False,
        "rank_position": "tail",
        "ending": ".",
    }
    return Sentence(text=text or FakeText(), num_rank_tokens=list(num_rank_tokens), **(settings | options))


def slow_sentence(text, context, rank_tokens, position, ending):
    """One sentence by concatenation: [prefix, words as `position` orders them, ending, suffix] and its last place."""
    half = len(context) // 2
    words = {
        "tail": [context, rank_tokens],
        "front": [rank_tokens, context],
        "middle": [context[:half], rank_tokens, context[half:]],
    }[position]
    special = [text.embed(torch.tensor(ids)) for ids in (text.prefix_ids, [*text.tokenize(ending), *text.suffix_ids])]
    row = torch.cat([special[0], *words, special[1]])
    return row, len(row) - 1


@pytest.mark.parametrize("rank_specific", [False, True])
@pytest.mark.parametrize("ending", [".", ""])
@pytest.mark.parametrize("position", ["tail", "front", "middle"])
def test_sentences_equal_those_put_together_one_by_one(position, ending, rank_specific):
    text, counts = FakeText(), [1, 3, 2]
    module = sentence(text, counts, rank_position=position, ending=ending, rank_specific_context=rank_specific)
    if rank_specific:  # otherwise all start alike and a mix-up would not show
        torch.nn.init.normal_(module.context)
    rank_tokens = torch.randn(6, text.width)
    tokens = module(rank_tokens)
    for rank, own in enumerate(rank_tokens.split(counts)):
        context = module.context[rank] if rank_specific else module.context
        row, eot = slow_sentence(text, context, own, position, ending)
        assert tokens.eot[rank] == eot
        torch.testing.assert_close(tokens.embeddings[rank, : eot + 1], row)
        padding = tokens.embeddings[rank, eot + 1 :]
        torch.testing.assert_close(padding, text.embed(torch.tensor([text.pad_id])).expand_as(padding))
    assert tokens.embeddings.shape[1] == tokens.eot.max() + 1


@pytest.mark.parametrize(
    ("position", "rank_specific", "shared"),
    [("tail", False, 4), ("middle", False, 2), ("front", False, 1), ("tail", True, 1)],
)
def test_prefix_length_is_what_all_ranks_share(position, rank_specific, shared):
    # 3 context tokens behind one special token
    module = sentence(rank_position=position, rank_specific_context=rank_specific)
    assert module.prefix_length == shared
    front = module(torch.randn(6, 8)).embeddings[:, :shared]
    torch.testing.assert_close(front, front[:1].expand_as(front))


def test_prefix_of_equal_sentences_leaves_them_their_end():
    assert pad_rows([[1, 2, 3], [1, 2, 3]], padding=0).prefix_length == 2
    assert pad_rows([[1, 2], [1, 2, 3]], padding=0).prefix_length == 1


def test_layout_by_hand():
    layout = sentence_layout(
        [1, 2], num_context_tokens=2, rank_specific_context=False, rank_position="middle", num_prefix=1, num_ending=2
    )
    # table: 0 padding, 1 prefix, 2-3 ending, 4-5 context, 6 rank 0, 7-8 rank 1
    assert layout.rows.tolist() == [[1, 4, 6, 5, 2, 3, 0], [1, 4, 7, 8, 5, 2, 3]]
    assert layout.eot.tolist() == [5, 6]


def test_context_starts_from_the_phrase():
    text = FakeText()
    expected = text.embed(torch.tensor(text.tokenize("the age is")))
    torch.testing.assert_close(sentence(text).context.data, expected)
    specific = sentence(text, rank_specific_context=True).context.data
    torch.testing.assert_close(specific, expected.expand(3, -1, -1))


def test_random_context_has_small_independent_entries():
    text = FakeText(width=512, context_length=77)
    torch.manual_seed(0)
    assert sentence(text, context=None).context.shape == (10, 512)
    specific = sentence(text, context=None, num_context_tokens=16, rank_specific_context=True).context
    assert specific.shape == (3, 16, 512)
    assert specific.std().item() == pytest.approx(0.02, rel=0.05)
    assert not torch.equal(specific[0], specific[1])


def test_gradients_reach_context_and_rank_tokens_and_nothing_else():
    text = FakeText()
    module = sentence(text)
    rank_tokens = torch.randn(6, 8, requires_grad=True)
    module(rank_tokens).embeddings.sum().backward()
    torch.testing.assert_close(module.context.grad, torch.full((3, 8), 3.0))  # once per rank
    torch.testing.assert_close(rank_tokens.grad, torch.ones(6, 8))
    assert all(parameter.grad is None for parameter in text.parameters())
    assert [name for name, _ in module.named_parameters()] == ["context"]
    assert set(module.state_dict()) == {"context"}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"context": " "}, "prompt.context"),
        ({"num_context_tokens": 4}, "prompt.num_context_tokens"),
        ({"context": None, "num_context_tokens": 25}, "prompt.num_context_tokens"),  # 1 + 25 + 3 + 1 + 2 tokens
    ],
)
def test_settings_that_cannot_be(options, key):
    with pytest.raises(ConfigError) as caught:
        sentence(FakeText(context_length=31), **options)
    assert caught.value.key == key


CONTEXT, NAMES = "the age of the person is", ["17", "42", "97"]


class Reader:
    """Only as much of a tower as reads."""

    def __init__(self, tokenizer: Any) -> None:
        from ordinalclip.backbones.towers.openclip_causal import words_of

        self.tokenize = words_of(tokenizer).encode


@pytest.mark.parametrize(
    "words", ["42", "one hundred and one", ".", "", " years.", "years old!", "-3", "…", "'s", " 42", " -3"]
)
def test_clips_words_are_the_same_anywhere(words: str) -> None:
    reader: Any = Reader(open_clip.SimpleTokenizer())
    assert tokenize_continued(reader, words) == reader.tokenize(words)


@pytest.mark.parametrize("kind", ["byte pairs", "roberta", "bert", "t5"])
@pytest.mark.parametrize("ending", [".", "", " years.", "years old."])
@pytest.mark.parametrize("name", ["42", "-3", "very old"])
def test_parts_make_up_the_sentence(kind: str, ending: str, name: str, tmp_path: Path) -> None:
    folder = write_byte_pairs(tmp_path) if kind == "byte pairs" else write_tokenizer(tmp_path, kind)
    reader: Any = Reader(build_tokenizer("roberta-ViT-B-32", folder))
    gap = " " if ending[:1].isalnum() else ""
    parts = [*reader.tokenize(CONTEXT), *tokenize_continued(reader, f" {name}"), *tokenize_continued(reader, ending)]
    assert parts == reader.tokenize(f"{CONTEXT} {name}{gap}{ending}")


def test_byte_pairs_differ_behind_a_space(tmp_path: Path) -> None:
    reader: Any = Reader(build_tokenizer("roberta-ViT-B-32", write_byte_pairs(tmp_path)))
    assert tokenize_continued(reader, " 42") != reader.tokenize("42")


def test_what_melts_into_the_word_before_is_read_by_itself() -> None:
    text = FakeText()
    assert tokenize_continued(text, "!") == text.tokenize("!")


@pytest.mark.parametrize("model", ["ViT-B-16", "ViT-B-16-SigLIP", "ViT-H-14-CLIPA", "xlm-roberta-base-ViT-B-32"])
def test_an_untrained_rank_prompt_reads_as_the_fixed_one(model: str, tmp_path: Path) -> None:
    clip, name, folder = small_model(model, tmp_path)
    text = text_tower_of(clip, name, folder)
    given: dict[str, Any] = {"context": CONTEXT, "text": text, "embed_dim": text.embed_dim, "rank_names": NAMES}
    rank = RankPrompt(num_base_ranks=3, interpolation="piecewise", **given)()
    fixed = FixedPrompt(**given)()
    torch.testing.assert_close(rank.embeddings, fixed.embeddings)
    assert torch.equal(rank.eot, fixed.eot)
    assert rank.prefix_length <= fixed.prefix_length
