import pytest
import torch

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.fixed import FixedPrompt, fill_template
from tests.fakes import FakeText

NAMES = ["new", "16", "256"]


def prompt(text=None, **options):
    return FixedPrompt(text=text or FakeText(), embed_dim=6, rank_names=NAMES, **({"context": "the age is"} | options))


def test_template():
    assert fill_template("{context} {name}.", "the age is", NAMES)[1] == "the age is 16."
    assert fill_template("{context} {name}.", None, NAMES)[1] == "16."
    assert fill_template("a {name}-year-old", "unused", NAMES)[1] == "a 16-year-old"


@pytest.mark.parametrize("options", [{}, {"sentences": ["the age is new.", "the age is 16.", "the age is 256."]}])
def test_sentences_are_the_tower_s_own_tokens(options):
    text = FakeText()
    tokens = prompt(text, **options)()
    for rank, name in enumerate(NAMES):
        ids = [*text.prefix_ids, *text.tokenize(f"the age is {name}."), *text.suffix_ids]
        assert tokens.eot[rank] == len(ids) - 1
        torch.testing.assert_close(tokens.embeddings[rank, : len(ids)], text.embed(torch.tensor(ids)))
    assert tokens.prefix_length == 4


def test_nothing_is_learned_or_saved():
    module = prompt()
    assert not list(module.parameters())
    assert not module.state_dict()
    assert module.parts() == {}
    assert not module().embeddings.requires_grad


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"template": "{context}"}, "prompt.template"),
        ({"template": "{context} {rank}"}, "prompt.template"),
        ({"template": "{name"}, "prompt.template"),
        ({"sentences": ["a", "b"]}, "prompt.sentences"),
        ({"sentences": ["a", "b", " "]}, "prompt.sentences"),
        ({"context": "very " * 40}, "prompt.template"),
    ],
)
def test_settings_that_cannot_be(options, key):
    with pytest.raises(ConfigError) as caught:
        prompt(**options)
    assert caught.value.key == key
