"""Every yaml of a data set of ages reads its published layout where it says it lies, and is split by its protocol."""

from pathlib import Path

import pytest

from ordinalclip.datasets.load import load_manifest
from tests.conftest import Compose
from tests.datasets.made_ages import AGE_SETS, make_ages

SPLIT_BY_FACE = ("utkface", "clap2015", "clap2016", "appa_real")  # nobody knows who is who in these
PROTOCOLS = {
    **dict.fromkeys(("morph", "agedb", "afad"), "folds"),
    "fgnet": "leave_one_subject_out",
    **dict.fromkeys(("morph_settings", "adience", "clap2015", "clap2016", "appa_real", "imdb_clean"), "given"),
}
SHARED = ("imdb_clean", "morph_settings")  # people stand in two of their splits, as published


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ages")
    make_ages(folder)
    return folder


@pytest.mark.parametrize("name", AGE_SETS)
def test_a_yaml_reads_its_set(name: str, data: Path, tmp_path: Path, compose_cfg: Compose) -> None:
    cfg = compose_cfg(f"dataset={name}", f"paths.data={data}", small=False)
    manifest = load_manifest(cfg["dataset"], cfg["protocol"], data_dir=data, cache_dir=tmp_path)
    assert manifest.name == name
    assert cfg["protocol"]["split"]["_target_"].rpartition(".")[2] == PROTOCOLS.get(name, "holdout")
    assert manifest.unit == "year"
    assert set(manifest.table["split"]) - {"calibration"} == {"train", "val", "test"}
    assert manifest.table["raw"].notna().all()
    known = manifest.table["subject"].notna()
    assert known.all() == (name not in SPLIT_BY_FACE)
    if name not in SHARED:
        assert manifest.table[known].groupby("subject")["split"].nunique().eq(1).all()
    assert all(cfg["dataset"][key] for key in ("licence", "citation", "obtain"))


@pytest.mark.parametrize("name", AGE_SETS)
def test_where_a_set_is_not_there_it_is_told_how_to_obtain_it(name: str, tmp_path: Path, compose_cfg: Compose) -> None:
    cfg = compose_cfg(f"dataset={name}", f"paths.data={tmp_path / 'none'}", small=False)
    with pytest.raises(ValueError, match=r"^dataset\.root=") as caught:
        load_manifest(cfg["dataset"], cfg["protocol"], data_dir=tmp_path, cache_dir=tmp_path)
    assert cfg["dataset"]["obtain"] in str(caught.value)
