"""Every yaml of a set other than ages reads its published layout, below paths.data, with its own protocol."""

from pathlib import Path

import pytest

from ordinalclip.datasets.inspection import check_dataset
from ordinalclip.datasets.load import load_manifest
from tests.conftest import Compose
from tests.datasets.made_sets import make_other_sets

# Images, and those of train, val (calibration, where val is large enough) and test of a set with a split of its own.
SETS: dict[str, tuple[int, list[int] | None]] = {
    "aesthetics": (35, None),
    "aptos": (50, None),
    "ava": (60, None),
    "eyepacs": (80, None),
    "folder": (36, None),
    "gdrbench": (120, [75, 13, 12, 20]),
    "hci": (35, [25, 5, 5]),
    "koniq": (48, [24, 12, 12]),
    "medmnist": (60, [40, 10, 10]),
    "retinamnist": (60, [40, 10, 10]),
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
    counts = next([int(number) for number in line.split()[1:]] for line in lines if line.split()[:1] == ["all"])
    total, given = SETS[name]
    assert lines[0].startswith(f"{name}: {total} images, ")
    assert sum(counts) == total
    assert counts == given if given is not None else min(counts) > 0
    assert "duplicates  none to the byte" in lines


# The label of each set's first row as it stands in its files.
RAW = {
    "aesthetics": "1,1,1,1,2",
    "aptos": "0",
    "ava": "1 1 1 9 1 1 1 1 1 1",
    "eyepacs": "0",
    "folder": "1",
    "gdrbench": "nodr",
    "hci": "1930s",
    "koniq": "0.9 0.1 0.0 0.0 0.0",
    "medmnist": "0",
    "retinamnist": "0",
}


@pytest.mark.parametrize("name", SETS)
def test_labels_are_kept_as_written(name: str, data: Path, compose_cfg: Compose) -> None:
    extra = [word.format(data=data) for word in EXTRA.get(name, [])]
    cfg = compose_cfg(f"dataset={name}", *extra, f"paths.data={data}", small=False)
    table = load_manifest(cfg["dataset"], cfg["protocol"], data_dir=data, cache_dir=data / "cache").table
    assert table["raw"].iloc[0] == RAW[name]
    assert table["raw"].notna().all()
