"""The command line: mistakes, help, folders of the user's own, what a run prints."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ordinalclip.config.compose import conf_dir
from tests.run_cli import SMALL, command, train

MISTAKES = [
    (["promt=rank"], "promt=rank", ["prompt"]),
    (["prompt=rnk"], "prompt=rnk", ["context, fixed, linear, linear_interpolated, rank", "did you mean rank?"]),
    (["+prompt.num_base_rank=3"], "prompt.num_base_rank=3", ["did you mean num_base_ranks"]),
    (["prompt.num_base_rank=3"], "prompt.num_base_rank=3", ["did you mean num_base_ranks"]),
    (["weight_decay_on=all"], "weight_decay_on=all", ["did you mean optimizer.weight_decay_on?"]),
    (["prompt=linear", "prompt.num_base_ranks=3"], "prompt.num_base_ranks=3", ["allowed: name"]),
    (["prompt.num_base_ranks=1000"], "prompt.num_base_ranks=1000", ["from 1 to num_ranks (5)"]),
    (["seed=abc"], "seed=abc", ["an integer from 0"]),
    (["seed"], "seed=", ["needs a value"]),
    (["hydra/launcher=slurm"], "hydra/launcher=slurm", ["type -m, too"]),
    (["trainable.rank=0"], "trainable.rank=0", ["or null"]),
    (["+optimizer.foo=1"], "optimizer.foo=1", ["torch.optim.RAdam", "weight_decay"]),
    (["optimizer.foo=1"], "optimizer.foo=1", ["weight_decay"]),
    (["+prompt.name=3"], "prompt.name=3", ["is there already", "without the +"]),
    (["prompt.context='a"], "prompt.context='a", ["quote"]),
    (["prompt.context=a,b"], "prompt.context=a,b", ["-m"]),
    (["backbone=vit_b16"], "backbone.weights=openai", ["ViT-B-16", "looked for", "backbone.weights=random"]),
    (["--config-dir", "nowhere"], "--config-dir=", ["no such folder"]),
    (["dataset.name=${nope}"], "dataset.name=${nope}", ["'nope' not found"]),
    (["seed=${oc.env:NOPE}"], "seed=${oc.env:NOPE}", ["'NOPE' not found"]),
    (["-m", "prompt=rank,linear", "prompt.num_base_ranks=2"], "prompt.num_base_ranks=2", ["prompt=linear", "nothing"]),
    (["-m", "seed=0,1,abc"], "seed=abc", ["seed=abc; nothing was started"]),
    (["-m", "promt=rank,linear"], "promt=rank", ["prompt"]),
    (["-m", "prompt.num_base_ranks=2,1000"], "prompt.num_base_ranks=1000", ["num_ranks (5)"]),
    (["seed=0,1", "prompt=rank,rnk", "-m"], "prompt=rnk", ["did you mean rank?"]),
]


@pytest.mark.parametrize(("words", "start", "told"), MISTAKES, ids=lambda value: None)
def test_a_mistake_is_one_error_before_anything_is_done(
    tmp_path: Path, words: list[str], start: str, told: list[str]
) -> None:
    done = command(tmp_path, *SMALL, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    *message, imported = done.stderr.splitlines()
    assert message[0].startswith(f"error: {start}"), done.stderr
    assert len(message) <= 4
    assert imported == "imported:"
    for word in told:
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    done = command(tmp_path, "backbone=tiny", "dataset=manifest", "dataset.path=missing.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("error: dataset.path=missing.csv: there is no such file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--promt", "rank"], "unrecognized arguments: --promt"),
        (["--resolve"], "--resolve goes with --cfg"),
        (["=3"], "no key before the ="),
    ],
)
def test_words_that_cannot_be_sorted(tmp_path: Path, words: list[str], told: str) -> None:
    done = command(tmp_path, *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_broken_yaml_is_told_by_file_and_line(tmp_path: Path) -> None:
    own(tmp_path / "my conf", "a: [1\nb: 2\n")
    done = command(tmp_path, *SMALL, "--config-dir", "my conf", "prompt=mine")
    assert done.returncode == 2
    assert re.match(r"error: .*my conf/prompt/mine.yaml, line 2: ", done.stderr)


def own(folder: Path, text: str) -> None:
    (folder / "prompt").mkdir(parents=True)
    (folder / "prompt" / "mine.yaml").write_text(text, encoding="utf-8")


OWN = "# a prompt of my own\ndefaults:\n  - rank\nnum_base_ranks: 2\nname: mine\n"


@pytest.mark.parametrize("flag", [["--config-dir", "my conf"], ["-cd", "my conf"], ["--config-dir=my conf"]])
def test_help_lists_groups_and_own_options(tmp_path: Path, flag: list[str]) -> None:
    own(tmp_path / "my conf", OWN)
    done = command(tmp_path, "--help", *flag)
    assert done.returncode == 0
    assert done.stderr == "imported:\n"
    for word in ("* mini ", "* rank ", "mine ", "a prompt of my own", "Examples"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_own_options_are_offered_where_one_is_misspelt(tmp_path: Path) -> None:
    own(tmp_path / "my conf", OWN)
    for sweep in ([], ["-m", "seed=0,1"]):
        done = command(tmp_path, "--config-dir", "my conf", "prompt=mime", *sweep)
        assert "allowed: context, fixed, linear, linear_interpolated, mine, rank" in done.stderr
        done = command(tmp_path, "--config-dir", "my conf", "prompt=mine", "prompt.num_base_rank=1", *sweep)
        assert "did you mean num_base_ranks" in done.stderr


def test_cfg_info_and_version_run_nothing(tmp_path: Path) -> None:
    plain = command(tmp_path, "--cfg", "job", "seed=3")
    assert "seed: 3\n" in plain.stdout
    assert "rank: ${lr}\n" in plain.stdout
    assert "hydra:" not in plain.stdout
    assert "rank: 0.001\n" in command(tmp_path, "seed=3", "--cfg", "job", "--resolve").stdout
    assert "Config search path" in command(tmp_path, "seed=3", "--info").stdout
    assert re.fullmatch(r"ordinalclip [\d.]+\n", command(tmp_path, "--version").stdout)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -m ordinalclip.train --info | head -2"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_settings_of_this_machine_in_conf_local(tmp_path: Path) -> None:
    local = "# @package _global_\nseed: 7\ndefaults:\n  - override /loss: ce\n"
    (tmp_path / "own" / "local").mkdir(parents=True)
    (tmp_path / "own" / "local" / "default.yaml").write_text(local)
    done = command(tmp_path, "--config-dir", "own", "--cfg", "job")
    assert "seed: 7\n" in done.stdout
    assert "CrossEntropyKL" not in done.stdout
    assert "seed: 8\n" in command(tmp_path, "--config-dir", "own", "--cfg", "job", "seed=8").stdout
    # The place of its own, in a copy of what users edit.
    shutil.copytree(conf_dir(), tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    shutil.copytree(tmp_path / "own" / "local", tmp_path / "conf" / "local")
    done = command(tmp_path, f"--config-path={tmp_path / 'conf'}", "--cfg", "job")
    assert "seed: 7\n" in done.stdout


@pytest.mark.slow
def test_a_run_of_an_own_option_from_start_to_table_and_again(tmp_path: Path) -> None:
    own(tmp_path / "my conf", OWN)
    words = [*SMALL, "--config-dir", "my conf", "prompt=mine", "tracking=local"]
    first = train(tmp_path, *words)
    assert first.returncode == 0, first.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".cache", "data", "my conf", "runs"]
    (run,) = (tmp_path / "runs").glob("gauge-tiny-mine-s0-*")
    # No progress bar and no colours in a pipe: all there is to say is the table.
    assert first.stderr == ""
    assert "\x1b" not in first.stdout + first.stderr
    assert "\r" not in first.stdout + first.stderr
    assert max(map(len, first.stdout.splitlines()[:-2])) <= 80
    for heading in ("MAE in ranks, expectation", "accuracy", "within-1 accuracy", "QWK"):
        assert re.search(rf"^ {heading} +-?\d+\.\d+( %)? +\d+\.\d+", first.stdout, re.MULTILINE), first.stdout
    assert re.search(r"ordinality of rank features +\d\.\d+ +0\.700 by chance, \d\.\d+ untrained", first.stdout)
    assert first.stdout.endswith(f"run     {run}\nMLflow  make ui\n")

    again = command(tmp_path, *words)
    assert again.returncode == 0
    assert again.stdout == first.stdout
    assert again.stderr.startswith(f"done already: {run.name}")
    assert again.stderr.endswith("imported:\n")


@pytest.mark.slow
def test_what_ends_a_run_is_told_in_a_line_and_kept_in_its_log(tmp_path: Path) -> None:
    done = train(tmp_path, *SMALL, "trainable.rank=1e30")
    (run,) = (tmp_path / "runs").glob("gauge-*")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-6] == "error: the loss became nan in epoch 0, step 1, which is not kept"
    assert re.fullmatch(r"  images: \d+\.png, .+ \(\d+ of the batch\)", lines[-5])
    assert re.fullmatch(r"  context: parameters [\d.]+, gradient nan", lines[-4])
    assert re.fullmatch(r"  rank: parameters \S+, gradient nan", lines[-3])
    assert lines[-2].startswith("  what to do: a lower learning rate")
    assert lines[-1] == f"  traceback: {run / 'run.log'}"
    assert "Traceback (most recent call last)" in (run / "run.log").read_text()
