import pytest
import torch

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.interpolation import interpolation_weights
from ordinalclip.prompts.rank import RankPrompt, nearest_ranks
from ordinalclip.text.encoding import encode_prompts
from tests.fakes import FakeText
from tests.prompts.test_sentence import slow_sentence

NAMES = ["new", "4", "16", "age 64", "256"]  # 1, 1, 2, 3 and 3 tokens


def prompt(text=None, rank_names=NAMES, **options):
    return RankPrompt(
        text=text or FakeText(), embed_dim=6, rank_names=rank_names, **({"context": "the age is"} | options)
    )


@pytest.mark.parametrize("position", ["tail", "front", "middle"])
@pytest.mark.parametrize("kind", ["linear", "inv_prop", "normal", "piecewise"])
def test_rank_by_rank(kind, position):
    """Every sentence blended and put together on its own, then encoded alone."""
    text = FakeText().eval()
    module = prompt(text, interpolation=kind, rank_position=position, num_base_ranks=3)
    weights = interpolation_weights(kind, 5, 3)
    tokens = module()
    features = encode_prompts(text, tokens)
    for rank in range(5):
        blend = sum(weights[rank, k] * module.base_ranks[k] for k in range(3))
        row, eot = slow_sentence(text, module.sentence.context, blend, position, ".")
        torch.testing.assert_close(tokens.embeddings[rank, : eot + 1], row)
        alone = text.encode(row[None], torch.tensor([eot]))
        torch.testing.assert_close(features[rank], alone[0], atol=1e-6, rtol=1e-5)


def test_base_ranks_start_from_the_names_at_their_positions_padded_to_the_longest():
    text = FakeText()
    module = prompt(text)  # positions 0, 2, 4: "new", "16", "256"
    new, sixteen, most = (text.tokenize(name) for name in ("new", "16", "256"))
    ids = torch.tensor([[*new, 6, 6], [*sixteen, 6], most])
    torch.testing.assert_close(module.base_ranks.data, text.embed(ids))


def test_padding_slots_are_part_of_the_sentence_and_trained():
    module = prompt(interpolation="piecewise")
    tokens = module()
    # prefix 1, context 3, rank 3, "." 1, suffix 2; the same for all ranks
    assert tokens.eot.tolist() == [9] * 5
    assert tokens.prefix_length == 4
    tokens.embeddings[0].sum().backward()
    torch.testing.assert_close(module.base_ranks.grad[0], torch.ones(3, 8))


def test_given_base_rank_names_and_number_of_tokens():
    text = FakeText()
    module = prompt(text, base_rank_names=["young", "old"], num_base_ranks=2, tokens_per_rank=4)
    assert module.base_ranks.shape == (2, 4, 8)
    torch.testing.assert_close(
        module.base_ranks[:, 0].data, text.embed(torch.tensor([text.tokenize(n)[0] for n in ("young", "old")]))
    )


@pytest.mark.parametrize("num_base_ranks", range(1, 6))
def test_any_number_of_base_ranks_takes_its_names_from_r_names(num_base_ranks):
    """Names given at the prompt reach it in the place of the data set's; each base rank starts from one of them."""
    text, names = FakeText(), ["baby", "child", "teen", "adult", "senior"]
    module = prompt(text, rank_names=names, num_base_ranks=num_base_ranks)
    at = {1: [2], 2: [0, 4], 3: [0, 2, 4], 4: [0, 1, 3, 4], 5: range(5)}[num_base_ranks]
    ids = torch.tensor([text.tokenize(names[rank]) for rank in at])
    assert torch.equal(module.base_ranks.data, text.embed(ids))


@pytest.mark.parametrize(("tokens_per_rank", "expected"), [(None, 1), (8, 8)])
def test_random_base_ranks(tokens_per_rank, expected):
    torch.manual_seed(0)
    module = prompt(FakeText(width=2048), rank_init="random", tokens_per_rank=tokens_per_rank)
    assert module.base_ranks.shape == (3, expected, 2048)
    assert module.base_ranks.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("position", ["tail", "front", "middle"])
@pytest.mark.parametrize("rank_init", ["names", "random"])
def test_a_rank_says_the_first_of_its_interpolated_tokens(rank_init, position):
    counts = [1, 4, 2, 3, 4]
    module = prompt(rank_init=rank_init, tokens_per_rank=counts, rank_position=position)
    assert module.base_ranks.shape == (3, 4, 8)
    whole = torch.einsum("rk,ktw->rtw", interpolation_weights("linear", 5, 3), module.base_ranks)
    tokens = module()
    for rank, count in enumerate(counts):
        row, eot = slow_sentence(FakeText(), module.sentence.context, whole[rank, :count], position, ".")
        assert tokens.eot[rank] == eot
        torch.testing.assert_close(tokens.embeddings[rank, : eot + 1], row)


def test_one_number_each_that_is_the_same_for_all_is_one_number():
    one, each = (prompt(tokens_per_rank=tokens)().embeddings for tokens in (4, [4] * 5))
    assert torch.equal(one, each)


def test_nearest_ranks():
    assert nearest_ranks(101, 3) == [0, 50, 100]
    assert nearest_ranks(8, 3) == [0, 4, 7]
    assert nearest_ranks(5, 1) == [2]
    assert nearest_ranks(7, 7) == list(range(7))


def test_parts_name_every_parameter_and_only_those_are_saved():
    module = prompt()
    named = [name for names in module.parts().values() for name in names]
    assert sorted(named) == sorted(name for name, _ in module.named_parameters()) == sorted(module.state_dict())


def test_ranks_are_counted_by_their_names_even_when_two():
    module = prompt(rank_names=["no", "yes"], num_base_ranks=2)
    assert module().embeddings.shape[0] == 2
    torch.testing.assert_close(module.weights, torch.eye(2))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"num_base_ranks": 6}, "prompt.num_base_ranks"),
        ({"tokens_per_rank": 2}, "prompt.tokens_per_rank"),  # "256" has 3
        ({"base_rank_names": ["a", "b"]}, "prompt.base_rank_names"),
        ({"base_rank_names": ["a", "b", "c"], "rank_init": "random"}, "prompt.base_rank_names"),
        ({"rank_names": ["", "a", "b"]}, "rank names"),
        ({"rank_init": "random", "tokens_per_rank": 40}, "prompt.tokens_per_rank"),
    ],
)
def test_settings_that_cannot_be(options, key):
    with pytest.raises(ConfigError) as caught:
        prompt(**options)
    assert caught.value.key == key
