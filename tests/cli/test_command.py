"""A command that takes words, as a shell sees it."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from ordinalclip.config.compose import compose_config, compose_defaults, conf_dir
from ordinalclip.errors import ConfigError


def test_a_pipe_that_is_closed_is_no_error() -> None:
    code = "from ordinalclip.cli.command import run_command as r\n"
    code += 'r(lambda _: print("x\\n" * 10**6), "", needs_words=False)'
    line = f"set -o pipefail; {sys.executable} -c '{code}' | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")


@pytest.mark.parametrize("name", ["My Runs", "runs (old)", "a,b", "x=y", "[a]", "it's", "$x", "~", "null"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    """What Hydra's grammar has another meaning for, too."""
    here = compose_defaults({"paths.runs": str(tmp_path / name), "run": name})
    assert here["paths"]["runs"] == str(tmp_path / name)
    assert here["tracking"]["uri"] == f"sqlite:///{tmp_path / name}/mlflow.db"


def test_a_key_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^tracking\.uri=x: there is no such key with tracking=offline"):
        compose_config(["tracking=offline"], {"tracking.uri": "x"})


def test_a_program_that_is_hydras_itself_stays_as_it_was() -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        assert compose_config(["seed=3"])["seed"] == 3
        assert GlobalHydra.instance().hydra is outer
        assert compose("train", ["seed=4"])["seed"] == 4
        with pytest.raises(Exception, match="no_such_key"):
            compose_config(["no_such_key=1"])
        assert GlobalHydra.instance().hydra is outer
    assert not GlobalHydra.instance().is_initialized()
