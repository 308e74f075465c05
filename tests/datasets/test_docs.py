"""docs/datasets.md has a row for every data set, with what its yaml says."""

from pathlib import Path

import pytest
import yaml

from ordinalclip.config.compose import conf_dir

ROWS = [
    [cell.strip() for cell in line.strip("|").replace(r"\|", "¦").split(" | ")]
    for line in Path("docs/datasets.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]
FILES = sorted((conf_dir() / "dataset").glob("*.yaml"))


def test_each_data_set_has_one_row() -> None:
    assert sorted(row[0].strip("`") for row in ROWS) == sorted(file.stem for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_row_is_its_yaml(file: Path) -> None:
    told = yaml.safe_load(file.read_text(encoding="utf-8"))
    row = next(row for row in ROWS if row[0] == f"`{file.stem}`")
    given = [value for entry in told.get("defaults", []) for key, value in entry.items() if "protocol" in key]
    assert len(row) == 6
    assert row[3] == (given[0] if given else "holdout")
    assert row[4] == (told.get("licence") or "yours")
    for key in ("context", "citation"):
        assert key in told or told.get("licence") is None
