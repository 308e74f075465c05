import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.preparation.checks import check
from tests.conftest import Compose


@pytest.mark.parametrize(
    ("overrides", "key", "told"),
    [
        (["prompt.base_rank_names=[a,b]"], "prompt.base_rank_names", "2 names for 3 base ranks"),
        (["prompt.base_rank_names=[a,b,c]", "prompt.rank_init=random"], "prompt.base_rank_names", "not used"),
        (["prompt.num_context_tokens=4"], "prompt.num_context_tokens", "brings its own tokens"),
        (["prompt.context=' '"], "prompt.context", "has no words"),
        (["prompt=context", "prompt.tokens_per_rank=2"], "prompt.tokens_per_rank", "bring their own number"),
        (["prompt.tokens_per_rank=90"], "prompt.tokens_per_rank", "sentences of 92 tokens or more"),
        (
            ["prompt.context=null", "prompt.num_context_tokens=74"],
            "prompt.num_context_tokens",
            "tower takes 75",
        ),
        (["backbone=siglip_b16", "prompt.tokens_per_rank=62"], "prompt.tokens_per_rank", "tower takes 63"),
        (
            ["backbone=vgg16_rn50text", "prompt.tokens_per_rank=75"],
            "prompt.tokens_per_rank",
            "tower takes 75",
        ),
        (["backbone=mini", "backbone.grid=8"], "backbone.grid", "7 × 7 cells"),
        (["backbone=mini", "+backbone.layer=stage5", "backbone.projection=none"], "backbone.projection", "grid=1"),
        (["backbone=tiny", "backbone.size=36"], "backbone.size", "multiple of 8"),
        (["backbone=vit_b32", "backbone.size=16"], "backbone.size", "32 or more"),
        (["prompt=fixed", "prompt.template='{age} years'"], "prompt.template", "its fields are"),
        (["prompt=fixed", "prompt.template='{name'"], "prompt.template", "{name} and, if wanted, {context}"),
    ],
)
def test_what_does_not_fit_is_told_before_data_are_read(
    compose_cfg: Compose, overrides: list[str], key: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check(compose_cfg(*overrides))
    assert caught.value.key == key
    assert told in str(caught.value)


def test_numbers_that_go_by_the_ranks_wait_until_these_are_known(compose_cfg: Compose) -> None:
    for overrides, told in (
        (["prompt.tokens_per_rank=[1,2,3]"], "3 numbers for 5 ranks"),
        (["prompt=fixed", "prompt.sentences=[a dog,a cat]"], "2 sentences for 5 ranks"),
    ):
        cfg = compose_cfg(*overrides)
        check(cfg)
        with pytest.raises(ConfigError, match=told):
            check(cfg, known={"num_ranks": 5})


@pytest.mark.parametrize(
    "overrides",
    [
        ["prompt.base_rank_names=[a,b,c]"],
        ["prompt.context=null", "prompt.num_context_tokens=4"],
        ["prompt.tokens_per_rank=7"],  # base ranks are filled up
        ["prompt=context", "prompt.rank_init=random", "prompt.tokens_per_rank=[1,2,3,4,5]"],
        ["prompt=fixed", "prompt.sentences=[a,b,c,d,e]"],
        ["prompt.tokens_per_rank=73"],
        ["prompt.context=null", "prompt.num_context_tokens=73"],
        ["backbone=mini", "prompt.tokens_per_rank=90"],
        ["prompt=linear"],
    ],
)
def test_what_fits_passes(compose_cfg: Compose, overrides: list[str]) -> None:
    check(compose_cfg(*overrides), known={"num_ranks": 5})


def test_a_prompt_of_a_users_own_checks_itself(compose_cfg: Compose) -> None:
    cfg = compose_cfg("prompt.base_rank_names=[a,b]")
    cfg["prompt"] |= {"_target_": "tests.prompts.test_settings.Mine"}
    check(cfg, known={"num_ranks": 5})


class Mine:
    """Takes what rank prompts take."""

    def __init__(
        self, *, num_base_ranks, interpolation, tokens_per_rank, rank_init, base_rank_names, rank_position, context,
        num_context_tokens, rank_specific_context, ending, text, embed_dim, rank_names,
    ):  # fmt: skip
        pass
