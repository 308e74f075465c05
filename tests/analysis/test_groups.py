from pathlib import Path

import pytest

from ordinalclip.errors import ConfigError
from tests.analysis.made_errors import compared, make
from tests.analysis.made_runs import made_run


def test_a_group_must_not_mix_settings(tmp_path: Path) -> None:
    make(tmp_path, "rank", 0, 0.1)
    make(tmp_path, "rank", 1, 0.1, lr=1e-2, trainable__rank=1e-2)
    with pytest.raises(ConfigError, match=r"differ in lr \(0\.001, 0\.01\).*\n.*by=…,lr"):
        compared(tmp_path)


def test_unfinished_runs_are_counted_not_averaged(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path, "rank", seed, 0.1)
    made_run(tmp_path, "x", {"seed": 2}, status="failed", scores={"test/mae": 9.0})
    made_run(tmp_path, "y", {"prompt.name": "context"}, status="interrupted")
    found = compared(tmp_path)
    (group,) = found.groups
    assert (len(group.scores), group.planned) == (2, 3)
    assert found.notes[0] == "context: none of its 1 runs is finished and has test/mae"
    assert found.pairs == ()
