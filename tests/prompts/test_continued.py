"""The words of a prompt's parts, put together, are those of the sentence that they make up."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from ordinalclip.backbones.towers.openclip_text import build_tokenizer, text_tower_of
from ordinalclip.prompts.fixed import FixedPrompt
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.prompts.sentence import tokenize_continued
from tests.backbones.architectures import small_model, write_byte_pairs, write_tokenizer
from tests.fakes import FakeText

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
