import subprocess
import sys
from pathlib import Path

import pytest

from ordinalclip.cli.help import help_text, print_help

FILES = {
    "train.yaml": "defaults:\n  - _self_\n  - prompt: rank\n  - dataset@data: dials # why\n  - experiment: null\n"
    "  - optional local: default\n  - override hydra/sweeper: own\nseed: 0\n",
    "prompt/rank.yaml": "# learned anchors\n_target_: a.b\n",
    "prompt/context.yaml": "# @package _global_\n# free words\n# more\n",
    "prompt/bare.yaml": "_target_: a.b\n# not a description\n",
    "dataset/dials.yaml": "# dials, " + "many of them, " * 20 + "in the end\n",
    "experiment/paper.yaml": "# a table\n",
    "hydra/launcher.yaml": "# hidden\n",
    "local/default.yaml": "# mine\n",
}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text, encoding="utf-8")
    return tmp_path / "conf"


def lines_with(text: str, word: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if word in line]


def test_options_are_listed_with_their_first_line(conf: Path) -> None:
    text = help_text([conf], 100)
    assert lines_with(text, "learned anchors") == ["* rank     learned anchors"]
    assert lines_with(text, "free words") == ["context  free words"]
    assert lines_with(text, "bare") == ["prompt       bare"]
    assert lines_with(text, "* dials")
    assert not lines_with(text, "not a description")
    assert not lines_with(text, "hidden")
    assert not lines_with(text, "* paper")
    assert lines_with(text, "local")


def test_groups_come_in_the_order_of_the_defaults(conf: Path) -> None:
    text = help_text([conf], 100)
    assert text.index("  prompt ") < text.index("  dataset ") < text.index("  experiment ")


@pytest.mark.parametrize("width", [70, 100, 140])
def test_descriptions_are_wrapped_and_whole(conf: Path, width: int) -> None:
    text = help_text([conf], width)
    groups = text[text.index("Groups") : text.index("Examples")]
    assert " ".join(groups.split()).count("many of them,") == 20
    assert max(len(line) for line in groups.splitlines() if "of them" in line) <= width


def test_further_folders_add_options_and_groups(conf: Path, tmp_path: Path) -> None:
    for name in ("prompt/mine", "probe/new"):
        path = tmp_path / "own" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text("# of my own\n", encoding="utf-8")
    text = help_text([conf, tmp_path / "own", tmp_path / "not_there"], 100)
    assert lines_with(text, "of my own") == ["mine     of my own", "probe        new      of my own"]
    assert lines_with(text, "* rank")


def test_it_prints_without_hydra(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_help([conf])
    assert "prompt" in capsys.readouterr().out
    code = "import sys, ordinalclip.cli.help; assert not {'hydra', 'omegaconf', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
