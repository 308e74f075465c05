"""Every yaml of a set other than ages reads its published layout, below paths.data, with its own protocol."""

from pathlib import Path

import pytest

from ordinalclip.datasets.inspection import check_dataset
from tests.datasets.made_sets import make_other_sets

SETS = {
    # Images, and those of train, val and test.
    "aesthetics": (35, 20, 5, 10),
    "ava": (60, 33, 7, 20),
    "aptos": (50, 30, 7, 13),
    "eyepacs": (80, 50, 10, 20),
    "gdrbench": (120, 75, 25, 20),
    "hci": (35, 25, 5, 5),
    "koniq": (48, 24, 12, 12),
    "retinamnist": (60, 40, 10, 10),
    "medmnist": (60, 40, 10, 10),
    "folder": (36, 22, 5, 9),
}
EXTRA = {
    "retinamnist": ["dataset.path={data}/medmnist/retinamnist_28.npz"],
    "medmnist": ["dataset.path={data}/medmnist/retinamnist_28.npz", "dataset.rank_names=[a,b,c,d,e]"],
    "folder": ["dataset.root={data}/folder"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    make_other_sets(folder)
    return folder


@pytest.mark.parametrize("name", SETS)
def test_a_yaml_reads_its_layout(name: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = [word.format(data=data) for word in EXTRA.get(name, [])]
    assert check_dataset([f"dataset={name}", f"paths.data={data}", f"paths.cache={data / 'cache'}", *extra]) == 0
    lines = capsys.readouterr().out.splitlines()
    total = next(line.split()[1:] for line in lines if line.split()[:1] == ["all"])
    assert lines[0].startswith(f"{name}: {SETS[name][0]} images, ")
    assert [int(number) for number in total] == list(SETS[name][1:])
    assert "duplicates  none to the byte" in lines
