import shutil
import subprocess
import sys

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ordinalclip.config.signatures import check_target
from ordinalclip.datasets.load import DESCRIPTIVE, check_split, load_manifest, summary
from ordinalclip.errors import ConfigError, DataError
from tests import ROOT
from tests.datasets.made import make_manifest, write_table

CONF = ROOT / "conf"
HOLDOUT = yaml.safe_load((CONF / "protocol" / "holdout.yaml").read_text())
GAUGE = {
    "_target_": "ordinalclip.datasets.drawn.gauge.load_gauge",
    "name": "dials",
    "context": "the gauge reads",
    "num_ranks": 4,
    "images_per_rank": 5,
    "size": 16,
}
TORCH_FREE = ("layouts.digits", "layouts.elpv", "drawn.gauge", "drawn.heads.load", "load", "splits", "table")


def load(tmp_path, dataset, protocol=HOLDOUT):
    return load_manifest(dataset, protocol, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("wrap", [dict, OmegaConf.create])
def test_a_gauge_from_its_config(tmp_path, wrap):
    dataset = wrap(GAUGE)
    manifest = load(tmp_path, dataset, wrap(HOLDOUT))
    assert manifest.name == "dials"
    assert set(manifest.table["split"]) == {"train", "val", "test"}
    assert manifest.table["sha256"].notna().all()
    assert dataset["_target_"] == GAUGE["_target_"]
    assert load(tmp_path, dataset).content_hash == manifest.content_hash


def test_own_table_with_a_split_under_the_default_protocol(tmp_path):
    columns = {
        "path": [f"{index}.png" for index in range(4)],
        "rank": [1, 2, 1, 2],
        "split": ["train", "train", "val", "test"],
    }
    file = write_table(tmp_path, columns)
    dataset = yaml.safe_load((CONF / "dataset" / "manifest.yaml").read_text()) | {"path": str(file)}
    manifest = load(tmp_path, dataset)
    assert manifest.table["split"].tolist() == columns["split"]
    assert any("shifted" in note for note in manifest.notes)


def test_an_unknown_loader_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset._target_=ordinalclip.datasets.nothing.load"):
        load(tmp_path, {"_target_": "ordinalclip.datasets.nothing.load"})


@pytest.mark.parametrize(
    ("split", "problem"),
    [
        (["train", "train", "test"], r"no image in the split val .*\n.*val_from_train"),
        (["train", "train", "val"], "no image in the split test"),
        (["train", "val", "test"], "all training images have rank 0"),
    ],
)
def test_splits_that_cannot_be_used(split, problem):
    with pytest.raises(DataError, match=problem):
        check_split(make_manifest([0, 1, 1], split=split))


def test_what_is_odd_is_noted():
    split = ["train", "train", "train", "val", "test", "test"]
    manifest = make_manifest(
        [0, 1, 0, 3, 1, 1], split=split, subject=["a", "b", None, None, "a", "b"], group=["x", "y", "z", "z", "u", "u"]
    )
    manifest.table.loc[5, "sha256"] = manifest.table.loc[0, "sha256"]
    notes = check_split(manifest).notes
    assert notes[0] == "2 of 4 ranks have no training image: 2, 3"
    assert "2 subjects stand in more than one split" in notes[1]
    assert "1 groups stand" in notes[2]
    assert "1 images, equal to the byte, stand" in notes[3]
    assert "0.png, 5.png" in notes[3]
    assert check_split(make_manifest([0, 1, 0, 1], split=["train", "train", "val", "test"])).notes == ()


def test_broken_images_are_named_before_anything_else(tmp_path):
    file = write_table(tmp_path, {"path": ["a.png", "b.png"], "rank": [0, 1]})
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 2 images .*\n  b.png: the file is empty"):
        load(tmp_path, {"_target_": "ordinalclip.datasets.table.load_table", "path": str(file)})


def test_summary_counts():
    manifest = make_manifest([0, 1, 1, 2], split=["train", "train", "val", "test"])
    assert summary(manifest).splitlines() == [
        "made: 4 images, 3 ranks",
        "  rank  name  value  train  val  test",
        "  0     0         0      1    0     0",
        "  1     1         1      1    1     0",
        "  2     2         2      0    0     1",
        "  all                    2    1     1",
    ]


def test_summary_has_a_line_a_rank():
    lines = summary(make_manifest([0, 9, 100], split=["train", "val", "test"])).splitlines()
    assert len(lines) == 104  # a line a rank, those without an image too
    assert lines[2 + 9].split() == ["9", "9", "9", "0", "1", "0"]
    assert lines[2 + 50].split() == ["50", "50", "50", "0", "0", "0"]
    assert "none" in summary(make_manifest([0, 1]))


@pytest.mark.parametrize("file", sorted(CONF.glob("dataset/*.yaml")), ids=lambda file: file.stem)
def test_dataset_yaml_fits_its_loader(file):
    assert file.read_text().startswith("# ")
    node = yaml.safe_load(file.read_text())
    assert {"name", "context"} <= set(node)
    node = {key: value for key, value in node.items() if key not in ("defaults", *DESCRIPTIVE)}
    check_target(node, "dataset", runtime=["data_dir", "cache_dir"])


@pytest.mark.parametrize("file", sorted(CONF.glob("protocol/*.yaml")), ids=lambda file: file.stem)
def test_protocol_yaml_fits_its_function(file):
    node = yaml.safe_load(file.read_text())
    check_target(node["split"], "protocol.split", runtime=["manifest"])
    selected = "test" if file.stem == "on_test" else "val"
    assert (node["readout"], node["select_on"]) == ("expectation", selected)


@pytest.mark.parametrize(
    ("overrides", "target"),
    [
        ([], "blocks"),
        (["protocol=holdout"], "holdout"),
        (["protocol.split.seed=3"], "blocks"),
        (["dataset=gauge"], "holdout"),
        (["dataset=gauge", "protocol=blocks"], "blocks"),
    ],
)
def test_elpv_chooses_blocks_unless_told_otherwise(tmp_path, overrides, target):
    for group in ("dataset", "protocol"):
        shutil.copytree(CONF / group, tmp_path / group)
    # Hydra lets a group override only what stands before it.
    (tmp_path / "main.yaml").write_text("defaults:\n  - protocol: holdout\n  - dataset: elpv\n  - _self_\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("main", overrides)
    assert config.protocol.split._target_ == f"ordinalclip.datasets.splits.{target}"
    assert "protocol" not in config.dataset


@pytest.mark.slow
def test_no_torch():
    modules = [f"ordinalclip.datasets.{module}" for module in TORCH_FREE]
    code = f"import sys, {', '.join(modules)}\nassert not {{'torch', 'sklearn'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CONF.parent)
