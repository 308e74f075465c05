import importlib.util

import pytest
import yaml

from ordinalclip.datasets.layouts import elpv
from ordinalclip.datasets.layouts.elpv import load_elpv
from ordinalclip.datasets.load import load_manifest
from ordinalclip.errors import ConfigError
from tests import ROOT
from tests.datasets.made import write_image

LABELS = "images/cell0001.png  1.0                 mono\nimages/cell0002.png  0.3333333333333333  poly\n"
CONF = ROOT / "conf"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The package's layout with two photos."""
    package = tmp_path / "elpv_dataset"
    for index in (1, 2):
        write_image(package / "data" / "images" / f"cell{index:04d}.png", index)
    (package / "data" / "labels.csv").write_text(LABELS)
    monkeypatch.setattr(elpv, "_package_folder", lambda: package)
    return tmp_path


def test_grades(small):
    manifest = load_elpv(data_dir=small / "data", cache_dir=small / "cache")
    assert manifest.table["rank"].tolist() == [3, 1]
    assert manifest.table["value"].tolist() == pytest.approx([1, 1 / 3])
    assert manifest.table["cell_type"].tolist() == ["mono", "poly"]
    assert manifest.num_ranks == 4


def test_the_licence_is_told_once(small):
    told = [load_elpv(data_dir=small / "data", cache_dir=small / "cache").notes for _ in range(2)]
    assert "CC BY-NC-SA 4.0" in told[0][0]
    assert told[1] == ()


def test_missing_package(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"make setup, or pip install 'ordinalclip\[demo\]'"):
        load_elpv(data_dir=tmp_path, cache_dir=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("elpv_dataset") is None, reason="the extra demo is not installed")
def test_the_real_one(tmp_path):
    dataset = yaml.safe_load((CONF / "dataset" / "elpv.yaml").read_text())
    del dataset["defaults"]
    protocol = yaml.safe_load((CONF / "protocol" / "blocks.yaml").read_text())
    manifest = load_manifest(dataset, protocol, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    table = manifest.table
    assert table["rank"].value_counts().sort_index().tolist() == [1508, 295, 106, 715]
    assert table["split"].value_counts().to_dict() == {"train": 1600, "val": 192, "calibration": 192, "test": 640}
    assert table.groupby(table.index // 64)["split"].nunique().eq(1).all()
    whole = table["split"].replace("calibration", "val")
    for split, fraction in (("train", 0.6), ("val", 0.15), ("test", 0.25)):
        shares = table[whole == split]["rank"].value_counts().sort_index() / [1508, 295, 106, 715]
        assert shares.tolist() == pytest.approx([fraction] * 4, abs=0.04)
