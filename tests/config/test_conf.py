"""Every option in conf/ is described, fits what it names, and that trains: found by glob, so none is forgotten."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ordinalclip.cli.help import help_text
from ordinalclip.config.compose import conf_dir
from ordinalclip.datasets.drawn.gauge import load_gauge
from ordinalclip.errors import ConfigError
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.prepare import prepare
from tests.conftest import Compose
from tests.datasets.made_ages import AGE_SETS, make_ages
from tests.datasets.published import make_published

FILES = sorted(path for path in conf_dir().glob("**/*.yaml") if path.relative_to(conf_dir()).parts[0] != "local")
OPTIONS = [f"{path.parent.name}={path.stem}" for path in FILES if path.parent.parent == conf_dir()]
# What backbones name trains in test_other_words.py, backbones/test_mixed.py and backbones/test_mini_grid.py, in small.
TRAINED = ("prompt", "loss", "optimizer", "schedule", "trainer", "protocol", "tracking", "dataset")
# Some are trained on; tests/datasets/test_age_yamls.py and test_set_yamls.py read them all.
PUBLISHED = ("aesthetics", "hci", "eyepacs", "aptos", "gdrbench", "koniq", "ava")
ALSO_TRAINED = ("morph", "adience", "hci", "eyepacs")
READ_ELSEWHERE = tuple(f"dataset={name}" for name in (*AGE_SETS, *PUBLISHED, "medmnist") if name not in ALSO_TRAINED)
NOT_HERE = ("trainer=gpu", "trainer=auto", "dataset=elpv", *READ_ELSEWHERE)  # a GPU, whatever there is, 2,624 photos, …
SYNTHETIC = {"dataset=heads": "synthetic_heads"}  # and is called so wherever it is named
PACKAGES = {"dataset=heads": "anny"}  # of the extra `demo`
TWO_STEPS = ("epochs=1", "++trainer.limit_batches=2")
LISTS = ("morph_lists", "adience_lists")
# What an option needs beside the small job that the others are tried on.
EXTRA = {
    "protocol=blocks": ("protocol.split.block_size=4",),
    "protocol=given": ("dataset=manifest", "dataset.path={table}"),
    "protocol=carve_val": ("dataset=manifest", "dataset.path={table}"),
    "protocol=on_test": ("dataset=manifest", "dataset.path={table}"),
    "protocol=subject_exclusive_folds": ("dataset=manifest", "dataset.path={table}"),
    "protocol=leave_one_subject_out": ("dataset=manifest", "dataset.path={table}"),
    **{f"dataset={name}": ("paths.data={data}",) for name in (*PUBLISHED, *LISTS, *AGE_SETS)},
    "dataset=hci_lists": ("dataset.root={data}/hci_by_lists",),
    "dataset=aesthetics_lists": ("dataset.root={data}/aesthetics_by_lists",),
    "dataset=folder": ("dataset.root={data}/folder",),
    "dataset=retinamnist": ("dataset.path={data}/medmnist/retinamnist_28.npz",),
    "dataset=medmnist": ("dataset.path={data}/medmnist/retinamnist_28.npz", "dataset.rank_names=[a,b,c,d,e]"),
    "dataset=manifest": ("dataset.path={table}",),
    "dataset=digits": (),
    "dataset=heads": ("dataset.num_subjects=24", "dataset.images_per_subject=3", "dataset.size=16"),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of a user's: grades from 1, a split column, subjects."""
    folder = tmp_path_factory.mktemp("own")
    made = load_gauge(num_ranks=4, images_per_rank=15, size=16, data_dir=folder, cache_dir=folder).table
    rows = pd.DataFrame({"path": made["path"], "rank": made["rank"] + 1})
    rows["split"] = np.array(["train", "train", "test", "val"])[np.arange(len(rows)) // 4 % 4]
    rows["subject"] = [f"s{row % 20}" for row in range(len(rows))]
    root = next((folder / "gauge").iterdir())
    rows.to_csv(root / "grades.csv", index=False)
    return root / "grades.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made images in the layouts of published sets."""
    folder = tmp_path_factory.mktemp("published")
    make_published(folder)
    make_ages(folder)
    return folder


def small(option: str, table: Path, data: Path) -> list[str]:
    """Overrides for an option; those of gauge go when another data set comes."""
    extra = [word.format(table=table, data=data) for word in EXTRA.get(option, ())]
    gauge = ["dataset.num_ranks=5", "dataset.images_per_rank=12", "dataset.size=32"]
    own_data = any(word.startswith("dataset=") for word in (option, *extra)) and option != "dataset=gauge"
    common = ["backbone=tiny", "trainer=cpu", "tracking=offline", "batch_size=16", "num_workers=0"]
    return [*common, *(["dataset=gauge"] if not own_data else []), option, *([] if own_data else gauge), *extra]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(conf_dir())))
def test_the_first_line_describes_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    described = next(line for line in lines if not line.startswith("# @package"))
    assert described.startswith("# ")
    assert len(described) > len("# any")


def test_help_shows_them_all() -> None:
    text = help_text([conf_dir()], 140)
    for option in OPTIONS:
        group, _, name = option.partition("=")
        assert f" {group} " in text
        assert f" {name} " in text


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_composes_and_fits_what_it_names(compose_cfg: Compose, option: str) -> None:
    cfg = compose_cfg(option, small=False)
    check(cfg, known={"num_ranks": 101})
    group, _, name = option.partition("=")
    named = SYNTHETIC.get(option, name)
    assert cfg.get(group, {}).get("name", named) == named


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("backbone=")])
def test_missing_weights_are_all_that_a_backbone_may_lack(
    compose_cfg: Compose, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cfg = compose_cfg("trainer=cpu", "dataset=gauge", "dataset.num_ranks=5", "dataset.size=32", option, small=False)
    missing = None
    try:
        prepare(cfg)
    except ConfigError as error:
        missing = error
    if missing is not None:
        assert missing.key.startswith("backbone.weights")
        assert "backbone.weights=random" in str(missing)


@pytest.mark.slow
@pytest.mark.parametrize("option", [o for o in OPTIONS if o.partition("=")[0] in TRAINED and o not in NOT_HERE])
def test_what_an_option_names_trains(compose_cfg: Compose, table: Path, data: Path, option: str) -> None:
    if option in PACKAGES and importlib.util.find_spec(PACKAGES[option]) is None:
        pytest.skip(f"the package {PACKAGES[option]} is not installed")
    job = prepare(compose_cfg(*small(option, table, data), *TWO_STEPS, small=False))
    run_job(job, in_sweep=True)
    assert job.run.state() == "finished"
    assert np.isfinite(job.run.read_json("test_stats.json")["test/mae"])
