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
