import pytest
import torch

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.context import ContextPrompt
from tests.fakes import FakeText
from tests.prompts.test_sentence import slow_sentence

NAMES = ["new", "4", "16", "age 64", "256"]


def prompt(text=None, **options):
    return ContextPrompt(
        text=text or FakeText(), embed_dim=6, rank_names=NAMES, **({"context": "the age is"} | options)
    )


def test_names_keep_their_own_lengths():
    text = FakeText()
    module = prompt(text, rank_position="middle")
    tokens = module()
    for rank, name in enumerate(NAMES):
        own = text.embed(torch.tensor(text.tokenize(name)))
        row, eot = slow_sentence(text, module.sentence.context, own, "middle", ".")
        assert tokens.eot[rank] == eot
        torch.testing.assert_close(tokens.embeddings[rank, : eot + 1], row)
    assert module.rank_tokens.shape == (1 + 1 + 2 + 3 + 3, text.width)


def test_before_training_the_sentences_are_the_plain_text():
    text = FakeText()
    tokens = prompt(text)()
    ids = [*text.prefix_ids, *text.tokenize("the age is 16."), *text.suffix_ids]
    torch.testing.assert_close(tokens.embeddings[2, : tokens.eot[2] + 1], text.embed(torch.tensor(ids)))


def test_a_rank_moves_alone():
    module = prompt(rank_init="random")
    assert module.rank_tokens.shape == (5, 8)
    before = module().embeddings.detach().clone()
    with torch.no_grad():
        module.rank_tokens[3] += 1
    changed = (module().embeddings != before).flatten(1).any(1)
    assert changed.tolist() == [False, False, False, True, False]


def test_random_rank_tokens():
    torch.manual_seed(0)
    module = prompt(FakeText(width=1024), rank_init="random", tokens_per_rank=4)
    assert module.rank_tokens.shape == (20, 1024)
    assert module.rank_tokens.std().item() == pytest.approx(0.02, rel=0.05)


def test_a_number_of_random_tokens_for_each_rank():
    module = prompt(rank_init="random", tokens_per_rank=[2, 1, 4, 1, 3])
    assert module.rank_tokens.shape == (11, 8)
    lengths = module().eot - prompt(rank_init="random")().eot
    assert lengths.tolist() == [1, 0, 3, 0, 2]
    with pytest.raises(ConfigError, match="2 numbers for 5 ranks"):
        prompt(rank_init="random", tokens_per_rank=[2, 1])


def test_parts_name_every_parameter():
    module = prompt()
    named = [name for names in module.parts().values() for name in names]
    assert sorted(named) == sorted(name for name, _ in module.named_parameters())


def test_names_bring_their_own_number_of_tokens():
    with pytest.raises(ConfigError, match=r"prompt.tokens_per_rank=2"):
        prompt(tokens_per_rank=2)
