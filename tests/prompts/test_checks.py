from pathlib import Path

import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.prepare import prepare
from ordinalclip.prompts.checks import rank_names_of
from tests.conftest import Compose

NAMES = ["quite new", "used", "worn", "torn", "broken"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("quite_new\nused\nworn \ntorn\nbroken\n\n", encoding="utf-8")
    return path


def test_names_are_lines_in_which_a_low_line_is_a_space(file: Path) -> None:
    assert rank_names_of({"rank_names": str(file)}, 5) == NAMES
    assert rank_names_of({"rank_names": NAMES}, 5) == NAMES
    assert rank_names_of({}) is None


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a", "b", "c"], "3 names for 5 ranks"),
        (["a", "b", "c", "d", ""], "is not made of names"),
        ([1, 2, 3, 4, 5], "is not made of names"),
        ("nowhere.txt", "cannot be read"),
        (True, "is not made of names"),
    ],
)
def test_what_are_no_names(names: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        rank_names_of({"rank_names": names}, 5)
    assert caught.value.key == "prompt.rank_names"


def test_names_for_base_ranks_are_pointed_to_their_own_key(compose_cfg: Compose) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.base_rank_names"):
        check(compose_cfg("prompt.rank_names=[a,b,c]"), known={"num_ranks": 5})


def test_a_rank_of_no_tokens_is_refused(compose_cfg: Compose) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.tokens_per_rank"):
        check(compose_cfg("prompt.tokens_per_rank=[1,2,0,1,1]"))


@pytest.mark.slow
def test_a_run_is_named_by_the_names_and_not_by_their_file(compose_cfg: Compose, file: Path) -> None:
    other = file.rename(file.with_name("other.txt"))
    from_file = prepare(compose_cfg(f"prompt.rank_names={other}"))
    from_list = prepare(compose_cfg(f"prompt.rank_names=[{','.join(NAMES)}]"))
    assert from_file.run.run_id == from_list.run.run_id
    assert from_file.cfg["prompt"]["rank_names"] == NAMES
    assert from_file.run.run_id != prepare(compose_cfg()).run.run_id
    assert "rank_names" not in prepare(compose_cfg()).identity["prompt"]


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
    cfg["prompt"] |= {"_target_": "tests.prompts.test_checks.Mine"}
    check(cfg, known={"num_ranks": 5})


class Mine:
    """Takes what rank prompts take."""

    def __init__(
        self, *, num_base_ranks, interpolation, tokens_per_rank, rank_init, base_rank_names, rank_position, context,
        num_context_tokens, rank_specific_context, ending, text, embed_dim, rank_names,
    ):  # fmt: skip
        pass
