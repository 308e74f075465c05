from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from ordinalclip.cli.command import explain_hydra_error
from ordinalclip.config.compose import conf_dir
from ordinalclip.errors import ConfigError


def raised(*overrides: str) -> Exception:
    """What Hydra says to these."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"), pytest.raises(Exception) as caught:  # noqa: PT011
        compose("train", list(overrides))
    return caught.value


def explained(*overrides: str, **more: Any) -> ConfigError:
    error = explain_hydra_error(raised(*overrides), overrides, **more)
    assert isinstance(error, ConfigError)
    return error


@pytest.mark.parametrize(
    ("overrides", "key", "value", "allowed"),
    [
        (["promt=rank"], "promt", "rank", "prompt, protocol"),
        (["~foo"], "foo", "", "seed"),
        (["seed.x=3"], "seed.x", "3", "seed=…"),
        (["optimizer.lookahead.steps=3"], "optimizer.lookahead.steps", "3", "optimizer.lookahead=…"),
        (["promt.context=x"], "promt.context", "x", "prompt, protocol"),
        (["prompt.num=3"], "prompt.num", "3", "num_base_ranks"),
        (["dataset=manifest", "dataset.size=3"], "dataset.size", "3", "rank_names"),
        (["prompt=rnk"], "prompt", "rnk", "linear_interpolated, rank"),
        (["prompt="], "prompt", "", "linear_interpolated, rank"),
        (["tracking=a/b"], "tracking/a", "b", "local, offline"),
        (["experiment=mine"], "experiment", "mine", ""),
        (["hydra/launcher=foo"], "hydra/launcher", "foo", "basic"),
        (["optimizer@x=adam"], "optimizer@x", "adam", "optimizer"),
        (["prompt.context='a"], "prompt.context", "'a", ""),
        (["a=b=c"], "a", "b=c", ""),
        (["seed=1 2)"], "seed", "1 2)", ""),
        (["seed"], "seed", "", "seed=…"),
    ],
)
def test_key_value_and_what_is_allowed(overrides: list[str], key: str, value: str, allowed: str) -> None:
    error = explained(*overrides)
    assert (error.key, error.value) == (key, value)
    assert allowed in error.allowed
    assert "Exception" not in str(error)
    assert "_target_" not in error.allowed


def test_a_value_of_several_is_a_sweep_a_list_or_a_text() -> None:
    message = "Ambiguous value for argument 'prompt.context=a,b'\n1. To use it as a list, use key=[value1,value2]"
    from hydra.errors import ConfigCompositionException

    error = explain_hydra_error(ConfigCompositionException(message), ["prompt.context=a,b"])
    assert isinstance(error, ConfigError)
    assert (error.key, error.value) == ("prompt.context", "a,b")
    assert "-m" in error.remedy
    assert "prompt.context=[a,b]" in error.remedy


def test_options_of_the_users_own(tmp_path: Path) -> None:
    folder = tmp_path / "it's my, conf"
    (folder / "prompt").mkdir(parents=True)
    (folder / "prompt" / "mine.yaml").write_text("# my own\n_target_: a.b\nwidth: 3\nname: mine\n")
    error = explained("prompt=mime", config_dirs=[folder])
    assert "mine" in error.allowed
    assert error.remedy == "did you mean mine?"
    overrides = ["prompt=mine", "prompt.widht=3"]
    refused = explain_hydra_error(raised("prompt.widht=3"), overrides, [folder])
    assert isinstance(refused, ConfigError)
    assert (refused.allowed, refused.remedy) == ("name, width", "did you mean width?")


def test_what_asks_for_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "lost.yaml").write_text("defaults:\n  - nothing\n")
    error = explained(f"hydra.searchpath=['file://{tmp_path}']", "prompt=lost")
    assert error.key == "prompt"
    assert "which prompt/lost.yaml asks for" in error.problem


def test_other_errors_are_not_ours_to_explain() -> None:
    assert explain_hydra_error(RuntimeError("x"), []) is None
    assert explain_hydra_error(ConfigError("seed", 1, "is odd"), []) is None
