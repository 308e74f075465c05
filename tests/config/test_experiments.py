"""Every cell of every published table is a command that composes, passes all checks and finds its data."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from launch.sweep import typed_axes
from ordinalclip.config.compose import conf_dir, plain_config
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.report.published import read_published
from tests.datasets.published import make_published

TINY = ("backbone=tiny", "trainer=cpu", "tracking=offline", "num_workers=0")
OURS = ("gauge", "evidence")  # no paper's
EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml") if not path.stem.startswith(OURS))
CELLS = sorted({score.command for score in read_published()} - {""})
# Runs of one method in each sweep.
SWEEPS = {
    "seeds": 5,
    "few_shot": 7 * 5,
    "shift": 8 * 5,
    "base_ranks": 16 * 5,
    "tuned": 6 * 5,
    "adience_folds": 5,
    "hci_splits": 10,
    "fgnet_people": 82,
    "aesthetics_parts": 4,
    "folds": 5,
    "unseen_ranks": 4 * 5,
    "evidence": 5,
    "evidence_rates": 4,
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("papers")
    make_published(folder / "data")
    return (f"paths.data={folder / 'data'}", f"paths.cache={folder / 'cache'}", f"paths.runs={folder / 'runs'}")


@pytest.fixture(scope="module", autouse=True)
def _hydra() -> Iterator[None]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def composed(*words: str) -> dict[str, Any]:
    return plain_config(compose("train", list(words)))


def job(command: str, paths: tuple[str, ...], *more: str) -> Job:
    words = [word for word in command.split() if not word.startswith("backbone=")]
    return prepare(composed(*words, *TINY, *paths, *more))


def axes(sweep: str) -> dict[str, Any]:
    params: dict[str, Any] = yaml.safe_load((conf_dir() / "sweep" / f"{sweep}.yaml").read_text())["hydra"]["sweeper"][
        "params"
    ]
    return params


@pytest.mark.slow
def test_every_cell_can_start(paths: tuple[str, ...]) -> None:
    jobs = {command: job(command, paths) for command in CELLS}
    for command, made in jobs.items():
        assert made.run.state() == "new", command
        if "experiment=adience" in command or "experiment=hci" in command:
            assert made.cfg["protocol"]["select_on"] == "val"
        if made.cfg["dataset"]["name"] == "morph_lists":
            assert made.cfg["protocol"]["select_on"] == "test"
            assert made.manifest.num_ranks == 101
    for experiment in ("ablation_base_ranks", "ablation_tuned"):
        cells = [made.run.run_id for command, made in jobs.items() if f"={experiment} " in command]
        assert len(set(cells)) == len(cells) >= 12
    # Three base ranks, linear, all tuned: the row of the main table.
    main = jobs["experiment=morph sweep=seeds"].run.run_id
    cell = "experiment=ablation_base_ranks prompt.interpolation=linear prompt.num_base_ranks=3 sweep=seeds"
    assert jobs[cell].run.run_id == jobs["experiment=ablation_tuned tuned=all sweep=seeds"].run.run_id == main


@pytest.mark.slow
def test_the_recipe_of_the_morph_rows(paths: tuple[str, ...]) -> None:
    cfg = composed("experiment=morph", *paths)
    assert (cfg["epochs"], cfg["batch_size"], cfg["loss"]["kl_weight"]) == (100, 32, 1)
    assert (cfg["backbone"]["image_model"], cfg["backbone"]["text_model"]) == ("vgg16", "RN50")
    assert cfg["backbone"]["weights"]["image"].endswith("/vgg/vgg_imdb_wiki.pth")
    prompt = cfg["prompt"]
    assert (prompt["num_base_ranks"], prompt["interpolation"], prompt["rank_init"]) == (3, "linear", "random")
    assert prompt["context"] == "age estimation: the age of the person is"
    rates = cfg["trainable"]
    assert rates["context"] == rates["rank"] == rates["projection"] == rates["image"] == 1e-4
    assert rates["text"] is rates["logit_scale"] is None
    optimizer = cfg["optimizer"]
    assert (optimizer["_target_"].rpartition(".")[2], optimizer["weight_decay"]) == ("RAdamReference", 5e-4)
    assert optimizer["weight_decay_on"] == "all"
    assert cfg["schedule"]["_target_"].endswith(".Cosine")
    assert composed("experiment=morph", "prompt=context", *paths)["prompt"]["rank_init"] == "names"
    zero = composed("experiment=morph", "prompt=fixed", "backbone=rn50", "trainable.image=null", *paths)["trainable"]
    assert {zero[part] for part in ("context", "rank", "head", "projection", "image", "text")} == {None}


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name in ("adience", "aesthetics", "hci")])
def test_other_sets_take_their_own(experiment: str, paths: tuple[str, ...]) -> None:
    cfg = composed(f"experiment={experiment}", *paths)
    assert cfg["dataset"]["name"] == {"adience": "adience_lists"}.get(experiment, experiment)
    assert cfg["protocol"]["select_on"] == "val"
    assert cfg["backbone"]["name"] == ("vgg16_imdbwiki_rn50text" if experiment == "adience" else "vgg16_rn50text")
    assert (cfg["epochs"], cfg["trainable"]["image"]) == (100, 1e-4)


@pytest.mark.parametrize("sweep", sorted(path.stem for path in (conf_dir() / "sweep").glob("*.yaml")))
def test_a_sweep_has_a_tables_settings(sweep: str) -> None:
    overrides = OverridesParser.create().parse_overrides(typed_axes(axes(sweep)))
    (product,) = BasicSweeper.split_arguments(overrides, None)
    assert len({tuple(words) for words in product}) == len(product) == SWEEPS[sweep]
    # The cells that published.csv names are those of the sweep.
    named = {"few_shot": "few_shot", "shift": "shift", "base_ranks": "ablation_base_ranks", "tuned": "ablation_tuned"}
    if sweep in named:
        settings = {frozenset(word for word in words if not word.startswith("seed=")) for words in product}
        skipped = ("experiment=", "sweep=", "prompt=", "trainable.head=")
        rows = [command.split() for command in CELLS if f"experiment={named[sweep]} " in command]
        assert {frozenset(word for word in words if not word.startswith(skipped)) for words in rows} == settings


@pytest.mark.parametrize(
    ("tuned", "trained", "from_words"),
    [
        ("rank", {"rank"}, False),
        ("context", {"context"}, False),
        ("rank_context", {"rank", "context"}, False),
        ("rank_init", {"rank"}, True),
        ("context_init", {"context"}, True),
        ("all", {"rank", "context"}, True),
    ],
)
@pytest.mark.parametrize("prompt", ["context", "rank_random"])
def test_what_is_tuned(tuned: str, trained: set[str], from_words: bool, prompt: str) -> None:
    cfg = composed("experiment=ablation_tuned", f"tuned={tuned}", f"prompt={prompt}", "paths.data=x")
    assert {part for part in ("rank", "context") if cfg["trainable"][part] is not None} == trained
    assert (cfg["prompt"]["context"] is not None) == from_words
    assert cfg["prompt"]["rank_init"] == ("names" if from_words and prompt == "context" else "random")


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_says_what_it_is(experiment: str) -> None:
    lines = (conf_dir() / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    for word in ("Paper", "Hours", "Unknown"):
        assert any(re.match(rf"# {word} ", line) for line in lines), word
    shown = [line for line in lines if f"experiment={experiment}" in line]
    assert shown
    # Everything that its comments say to type composes.
    for line in shown:
        command = re.sub(r" {2,}\(.*", "", line[line.index("experiment=") :]).replace("context,rank_random", "context")
        composed(*command.split(), "paths.data=x")


@pytest.mark.slow
def test_a_cell_trains_and_is_stamped(paths: tuple[str, ...]) -> None:
    made = job("experiment=few_shot subset.shots=2", paths, "epochs=1", "++trainer.limit_batches=2", "batch_size=8")
    run_job(made, in_sweep=True)
    assert made.run.state() == "finished"
    assert made.run.status()["selected_on"] == "test"
    assert made.run.read_json("test_stats.json")["test/num_images"] == 88
    assert any("few-shot: 2 training images a rank" in note for note in made.manifest.notes)


@pytest.mark.slow
def test_a_zero_shot_cell_needs_no_training(paths: tuple[str, ...]) -> None:
    made = job("experiment=hci dataset.fold=1 prompt=fixed trainable.image=null", paths)
    run_job(made, in_sweep=True)
    assert made.run.state() == "finished"
    assert not made.run.best_checkpoint.exists()


def test_the_page_names_every_experiment_and_sweep() -> None:
    page = Path("docs/experiments.md").read_text(encoding="utf-8")
    for experiment in EXPERIMENTS:
        assert f"experiment={experiment}" in page
    for sweep in SWEEPS:
        assert f"sweep={sweep}" in page
