"""Lists and tables of published sets that lie elsewhere by a link: refused, or read where that is allowed by name."""

import shutil
from pathlib import Path

import pytest

from ordinalclip.datasets.load import load_manifest
from ordinalclip.errors import DataError
from tests.conftest import Compose
from tests.datasets.made_ages import make_ages
from tests.datasets.published import make_published

# Folders below paths.data, and options.
SETS = {
    "adience": ("adience", []),
    "adience_lists": ("adience", []),
    "aesthetics": ("aesthetics", []),
    "aesthetics_lists": ("aesthetics_by_lists", ["dataset.root={data}/aesthetics_by_lists"]),
    "appa_real": ("appa-real-release", []),
    "aptos": ("aptos2019-blindness-detection", []),
    "ava": ("AVA_dataset", []),
    "cacd": ("CACD2000", []),
    "clap2015": ("CLAP2015", []),
    "clap2016": ("CLAP2016", []),
    "eyepacs": ("eyepacs", []),
    "gdrbench": ("GDRBench", []),
    "hci_lists": ("hci_by_lists", ["dataset.root={data}/hci_by_lists"]),
    "imdb_clean": ("imdb-clean", []),
    "imdb_wiki": ("imdb_crop", []),
    "koniq": ("koniq10k", []),
    "morph": ("MORPH_nonCommercial", []),
    "morph_lists": ("MORPH", []),
    "morph_settings": ("MORPH_nonCommercial", []),
}
TABLES = (".csv", ".tsv", ".txt", ".mat", ".jpgl")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sets, of which the tables are links to a folder beside them."""
    top = tmp_path_factory.mktemp("linked")
    for name, make in (("ages", make_ages), ("others", make_published)):
        make(top / name)
        shutil.copytree(top / name, top / "data", dirs_exist_ok=True)
    for file in sorted((top / "data").rglob("*")):
        if file.is_file() and file.suffix in TABLES:
            moved = top / "elsewhere" / file.relative_to(top / "data")
            moved.parent.mkdir(parents=True, exist_ok=True)
            file.rename(moved)
            file.symlink_to(moved)
    return top / "data"


@pytest.mark.parametrize("name", SETS)
def test_a_linked_table(name: str, data: Path, tmp_path: Path, compose_cfg: Compose) -> None:
    folder, options = SETS[name]
    assert (data / folder).is_dir()
    words = [f"dataset={name}", f"paths.data={data}", *(option.format(data=data) for option in options)]
    for allowed in (False, True):
        cfg = compose_cfg(*words, f"dataset.allow_outside={str(allowed).lower()}", small=False)
        if allowed:
            assert len(load_manifest(cfg["dataset"], cfg["protocol"], data_dir=data, cache_dir=tmp_path).table) > 0
            continue
        with pytest.raises(DataError, match=r"1 of 1 paths lead out of this folder:\n  .*elsewhere"):
            load_manifest(cfg["dataset"], cfg["protocol"], data_dir=data, cache_dir=tmp_path)
