from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ordinalclip.datasets.manifest import Manifest, match_ranks, unit_note
from ordinalclip.errors import DataError

HERE = Manifest(
    name="theirs",
    table=pd.DataFrame({"path": list("abcd"), "rank": [0, 1, 2, 2]}),
    rank_names=("old", "middle", "new"),
    rank_values=(30.0, 20.0, 10.0),
    unit="years",
    root=Path(),
)


def test_ranks_follow_their_values() -> None:
    matched = match_ranks(HERE, ("a", "b", "c"), (10.0, 20.0, 30.0))
    assert list(matched.table["rank"]) == [2, 1, 0, 0]
    assert matched.rank_names == ("a", "b", "c")
    assert matched.rank_values == (10.0, 20.0, 30.0)
    assert list(HERE.table["rank"]) == [0, 1, 2, 2]
    same = match_ranks(replace(HERE, rank_values=(1.0, 2.0, 3.0)), HERE.rank_names, (1.0, 2.0, 3.0))
    assert list(same.table["rank"]) == [0, 1, 2, 2]


def test_other_values_are_told() -> None:
    with pytest.raises(DataError, match="has 3 ranks, the run 2; values only in theirs: 20; only in the run: none"):
        match_ranks(HERE, ("a", "b"), (10.0, 30.0))
    with pytest.raises(DataError, match=r"ages beyond 10…30 by dataset\.first_age[\s\S]*outside=leave_out"):
        match_ranks(HERE, ("a", "b"), (10.0, 30.0))
    with pytest.raises(DataError, match=r"only in theirs: 20; only in the run: 25.5"):
        match_ranks(HERE, ("a", "b", "c"), (10.0, 25.5, 30.0))
    many = [float(value) for value in range(100)]
    with pytest.raises(DataError, match=r"only in theirs: 20; only in the run: 0, 1, 2, 3, 4, 5, 6, 7 … and \d+ more"):
        match_ranks(HERE, [str(value) for value in many if value != 20], [value for value in many if value != 20])


def test_a_set_may_have_some_of_the_ranks_and_ranks_that_no_image_has() -> None:
    matched = match_ranks(HERE, ("x", "a", "b", "y", "c"), (5.0, 10.0, 20.0, 25.0, 30.0))
    assert list(matched.table["rank"]) == [4, 2, 1, 1]
    unused = replace(HERE, table=HERE.table[HERE.table["rank"] != 1].reset_index(drop=True))
    assert list(match_ranks(unused, ("a", "b"), (10.0, 30.0)).table["rank"]) == [1, 0, 0]


def test_another_unit_is_told() -> None:
    assert unit_note(HERE, "years") == unit_note(HERE, "") == unit_note(replace(HERE, unit=""), "years") == []
    assert unit_note(HERE, "grade") == [
        "ranks are matched by their values, and theirs's are in years, the run's in grade"
    ]
