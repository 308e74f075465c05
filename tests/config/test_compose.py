from pathlib import Path

import pytest
from hydra.errors import MissingConfigException

from ordinalclip.cli.command import read_words, take_config_dirs
from ordinalclip.cli.help import read_arguments
from ordinalclip.config.compose import compose_config, compose_defaults, conf_dir, name_runs, using_config_dirs
from ordinalclip.errors import ConfigError


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.yaml").touch()
    return folder


def test_a_checkout_has_it_beside_the_package(tmp_path: Path) -> None:
    expected = make(tmp_path / "conf")
    (tmp_path / "ordinalclip").mkdir()
    assert conf_dir(tmp_path / "ordinalclip") == expected


def test_a_wheel_has_it_in_the_package(tmp_path: Path) -> None:
    make(tmp_path / "conf")  # somebody else's
    expected = make(tmp_path / "ordinalclip" / "conf")
    assert conf_dir(tmp_path / "ordinalclip") == expected


def test_without_either_it_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ordinalclip/conf/train\.yaml and .*conf/train\.yaml"):
        conf_dir(tmp_path / "ordinalclip")


def test_here_it_is_found() -> None:
    assert (conf_dir() / "train.yaml").is_file()


def test_folders_of_options_are_used_inside_the_context(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/mine.yaml").write_text("defaults: [gauge]\nname: mine\n")
    with using_config_dirs([tmp_path]):
        assert compose_config(["dataset=mine"])["dataset"]["name"] == "mine"
    with pytest.raises(MissingConfigException):
        compose_config(["dataset=mine"])


def test_a_missing_folder_of_options_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"), using_config_dirs([tmp_path / "none"]):
        pass


@pytest.mark.parametrize("key", ["runs", "paths.runs"])
@pytest.mark.parametrize(
    "folder",
    ["runs", "a b", "odd dir, (1) = größe #2 100% it's", "[x]", "{y}", "2024", "1e5", "null", "~/r", '"', "a:b", "$x"],
)
def test_the_folder_of_runs_is_taken_literally(key: str, folder: str) -> None:
    word = f"{key}={folder}"
    assert compose_config([word])["paths"]["runs"] == folder
    overrides = read_arguments(["-m", word], "program").overrides
    assert compose_config(overrides)["paths"]["runs"] == folder
    assert compose_defaults(read_words([word], ["paths.runs"], {}))["paths"]["runs"] == folder


@pytest.mark.parametrize("word", ["paths.runs='a b'", 'paths.runs="a b"'])
def test_quotes_of_hydra_are_still_read(word: str) -> None:
    assert compose_config([word])["paths"]["runs"] == "a b"
    assert compose_defaults(read_words([word], ["paths.runs"], {}))["paths"]["runs"] == "a b"


def test_plain_words_stay_as_typed() -> None:
    assert name_runs(["paths.runs=out/runs", "seed=1"]) == ["paths.runs=out/runs", "seed=1"]


def test_both_keys_of_the_runs_are_refused() -> None:
    with pytest.raises(ConfigError, match="one of the two"):
        name_runs(["runs=a", "paths.runs=b"])


def test_the_flag_is_taken_from_the_words() -> None:
    assert take_config_dirs(["check", "--config-dir", "a", "x=1"]) == (["check", "x=1"], [Path("a")])
    assert take_config_dirs(["--config-dir=a b"]) == ([], [Path("a b")])
    with pytest.raises(ConfigError, match="needs a folder"):
        take_config_dirs(["--config-dir"])
