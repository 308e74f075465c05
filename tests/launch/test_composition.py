"""A job composed cheaply is the job that Hydra composes."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException

from launch.composition import Composer, read_sweep
from ordinalclip.config.compose import conf_dir, plain_config
from ordinalclip.errors import ConfigError


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer()


@pytest.mark.parametrize(
    "words",
    [
        "seed=3 lr=2e-3 prompt=rank",
        "experiment=morph ~optimizer.weight_decay trainable.image=${lr}",
        "prompt=rank +prompt.extra={a:1,b:[2,3]} tags=[a,b]",
        "sweep=few_shot subset.shots=3 subset={seed:4}",
        "dataset=gauge 'dataset.context=the ${seed}th' ++trainer.new=1",
        "cluster=trial cluster.cpus=3 hydra/launcher=slurm hydra.launcher.timeout_min=5",
    ],
)
def test_equals_what_hydra_composes(words: str, composer: Composer) -> None:
    overrides = [word.strip("'") for word in words.replace("the ${seed}th", "${seed}th").split()]
    composer(["seed=8", *overrides])  # a job before it leaves no trace in it
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert plain_config(composer(overrides)) == plain_config(compose("train", overrides))


@pytest.mark.parametrize("word", ["sed=1", "prompt=no", "prompt.no=1", "seed=[", "+seed=1"])
def test_refuses_what_hydra_refuses(word: str, composer: Composer) -> None:
    with pytest.raises(HydraException):
        composer([word])


def test_a_sweeps_jobs(tmp_path: Path) -> None:
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "mine.yaml").write_text("# mine\ndefaults:\n  - rank\nname: mine\n")
    words = ["-m", "--config-dir", str(tmp_path), "sweep=few_shot", "prompt=glob(*mine*)", "seed=1,2", "epochs=3"]
    typed = read_sweep(words, "x", ["hydra/launcher=slurm", "tracking=offline"])
    assert len(typed.product) == 7 * 2
    assert typed.product[0] == [
        "subset.shots=1",
        "seed=1",
        "tracking=offline",
        "sweep=few_shot",
        "prompt=mine",
        "epochs=3",
    ]
    assert plain_config(typed.compose(typed.product[0]))["prompt"]["name"] == "mine"
    assert typed.launcher["array_limit"] == 1000
    assert typed.config_dirs == [tmp_path]
    assert not any(
        word.startswith("tracking") for word in read_sweep(["tracking.uri=x"], "x", ["tracking=offline"]).product[0][1:]
    )
    with pytest.raises(ConfigError, match="there is no such folder"):
        read_sweep(["--config-dir", str(tmp_path / "no")], "x")
    with pytest.raises(ConfigError, match="did you mean rank"):
        read_sweep(["prompt=rnak"], "x")
    for flags in (["--cfg", "hydra"], ["-c", "job", "--resolve"], ["--info"], ["--config-name", "mine"]):
        with pytest.raises(ConfigError, match="is a flag of"):  # nothing is queued by asking
            read_sweep(["-m", "seed=0,1", *flags], "x")
