import json
from pathlib import Path

import pytest

from ordinalclip.bench.scale import run_stages, write_dataset


def test_the_stages_go_through_on_a_small_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path, 2500)
    run_stages(str(tmp_path))
    rows = json.loads(capsys.readouterr().out)
    assert [row["stage"].partition(" ")[0] for row in rows] == ["read,", "split", "checked,", "hashed", "all", "a"]
    total = sum(row["seconds"] for row in rows[:4])
    assert rows[4]["seconds"] == pytest.approx(total)
    assert all(row["peak memory, GB"] > 0 for row in rows)
