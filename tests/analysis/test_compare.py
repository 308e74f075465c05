from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.compare import compare_command, less_is_better
from analysis.frame import frame_of_folder
from analysis.groups import differing_settings, group_name, minimal_keys
from analysis.run_selection import filter_runs, find_runs_named, find_setting, read_words, select_runs
from ordinalclip.errors import ConfigError
from tests.analysis.made_runs import made_run, with_predictions, write

RANK = np.tile(np.arange(1, 9), 20)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        for prompt, error in (("rank", 0.2), ("context", 0.6)):
            settings = {"prompt.name": prompt, "seed": seed, "prompt._target_": f"x.{prompt}"}
            directory = made_run(root, f"{prompt}{seed}", settings, labels={"sweep": "prompts"})
            with_predictions(directory, RANK, RANK + error + 0.01 * seed)
    made_run(root, "other", {"seed": 7, "dataset.name": "elpv"})
    (root / "sweeps").mkdir()
    write(root / "sweeps", "again.json", {"runs": {"made-rank0": []}})
    return root


def test_on_the_terminal(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare_command([f"runs={runs}", "sweep=prompts", "by=prompt"])
    shown = capsys.readouterr().out
    assert "test/mae (less is better): mean ± standard deviation over seeds and folds" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["rank", "3/3", "0.210", "±", "0.010", "0.185", "…", "0.235"] in lines
    assert [
        "rank",
        "context",
        "seeds",
        "and",
        "images",
        "-0.400",
        "-0.400",
        "…",
        "-0.400",
        "<",
        "0.001",
        "<",
        "0.001",
    ] in lines
    assert "rank is ahead of all others" in shown


def test_files_of_every_format(runs: Path, tmp_path: Path) -> None:
    words = [f"runs={runs}", "sweep=prompts", "by=prompt", "format=md,csv,latex,xlsx", f"out={tmp_path / 'my'}"]
    compare_command(words)
    assert {path.name for path in tmp_path.iterdir()} == {
        "my.md",
        "my.csv",
        "my-test-mae-differences.csv",
        "my.tex",
        "my.xlsx",
    }
    table = pd.read_csv(tmp_path / "my.csv")
    assert table["prompt.name"].tolist() == ["rank", "context"]
    np.testing.assert_allclose(table["test/mae"], [0.21, 0.61], atol=1e-6)
    np.testing.assert_allclose(table["test/mae std"], [0.01, 0.01], atol=1e-6)
    assert table["runs planned"].tolist() == [3, 3]
    book = pd.read_excel(tmp_path / "my.xlsx", sheet_name=None)
    assert list(book) == ["test-mae", "test-mae-differences"]
    np.testing.assert_allclose(book["test-mae-differences"]["difference"], [-0.4], atol=1e-6)
    assert "| **rank** " in (tmp_path / "my.md").read_text(encoding="utf-8")
    assert r"\textbf{rank} & 3/3" in (tmp_path / "my.tex").read_text(encoding="utf-8")


def test_selected_on_test_is_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        directory = made_run(tmp_path / "runs", f"{seed}", {"seed": seed, "protocol.select_on": "test"})
        with_predictions(directory, RANK, RANK + 0.1)
    words = [f"runs={tmp_path / 'runs'}", "by=prompt", "format=terminal,md,csv,latex,xlsx", f"out={tmp_path / 'my'}"]
    compare_command(words)
    assert "selected on test" in capsys.readouterr().out
    for suffix in ("md", "csv", "tex"):
        assert "selected on test" in (tmp_path / f"my.{suffix}").read_text(encoding="utf-8")
    assert pd.read_excel(tmp_path / "my.xlsx")["stamp"].tolist() == ["selected on test"]


def test_settings_that_tell_groups_apart_are_found(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = compare_command([f"runs={runs}", "dataset=digits"])
    assert found.keys == ("prompt.name",)
    assert [group.name for group in found.groups] == ["rank", "context"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sweep=prompt"], r"sweep=prompt: no run .*\n  allowed: again, prompts\n.*did you mean prompts"),
        (["by=promt"], "by=promt: no run has such a setting"),
        (["dataset=adience"], "dataset=adience: no run has it\n  allowed: digits, elpv"),
        (["data_set=digits"], "data_set=digits: no run has such a setting"),
        (["metric=test/map", "better=less"], "metric=test/map: no run has it"),
        (["metric=test/map"], r"metric=test/map: no run has it(.|\n)*did you mean test/mae"),
        (["metric=test/num_images"], "is less of it better, or more"),
        (["format=docx"], "format=docx: there is no such format"),
        (["format=xlsx"], "format=xlsx: is a file"),
        (["level=95"], "level=95: is not a level"),
        (["prompt"], "prompt=: is not of the form key=value"),
        (["by=prompt", "by=seed"], "by=seed: is given twice"),
        (["store=sqlite:///x.db"], "and runs= both name runs"),
    ],
)
def test_mistakes(runs: Path, words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        compare_command([f"runs={runs}", *words])


def test_runs_are_named_in_many_ways(runs: Path, tmp_path: Path) -> None:
    one = runs / "made-rank0"
    assert find_runs_named([str(one), "made-rank1", "rank2"], runs) == [one, runs / "made-rank1", runs / "made-rank2"]
    assert len(find_runs_named([str(runs)], tmp_path)) == 7
    with pytest.raises(ConfigError, match="there is no such run"):
        find_runs_named(["rank9"], runs)
    with pytest.raises(ConfigError, match="there are no runs here"):
        select_runs({}, tmp_path)


def test_filters(runs: Path) -> None:
    def seeds(**filters: str) -> list[int]:
        return select_runs({key.replace("__", "."): value for key, value in filters.items()}, runs)["seed"].tolist()

    assert sorted(seeds(seed="1,7")) == [1, 1, 7]
    assert len(seeds(lr="1e-3")) == 7
    assert seeds(prompt="rank", dataset__name="elpv") == [7]


def test_what_follows_from_another_difference_is_left_out(tmp_path: Path) -> None:
    rank = {
        "prompt.name": "rank",
        "prompt._target_": "x.Rank",
        "prompt.num_base_ranks": 3,
        "lr": 0.1,
        "trainable.rank": 0.1,
    }
    context = {"prompt.name": "context", "prompt._target_": "x.Context", "lr": 0.2, "trainable.rank": 0.2}
    made_run(tmp_path, "0", rank | {"epochs": 5, "num_workers": 1, "dataset.root": "/a"})
    made_run(tmp_path, "1", context | {"epochs": 7, "num_workers": 2, "dataset.root": "/b", "seed": 9})
    frame = frame_of_folder(tmp_path)
    assert differing_settings(frame) == ["prompt.name", "lr", "epochs"]
    assert minimal_keys(frame, differing_settings(frame)) == ["prompt.name"]


@pytest.mark.parametrize(
    ("metric", "less"),
    [
        ("test/mae", True),
        ("test/mae_value", True),
        ("val/rps", True),
        ("test/accuracy_within_1", False),
        ("test/qwk", False),
        ("ordinality", False),
        ("ordinality/best/off_diagonal", False),
        ("test/cs_5", False),
    ],
)
def test_directions(metric: str, less: bool) -> None:
    assert less_is_better(metric) == less
    assert less_is_better("my/own", "less")


def test_a_group_without_names_is_found_by_its_class() -> None:
    targets = ["ordinalclip.losses.ce.CrossEntropy", "ordinalclip.losses.ce_kl.CrossEntropyKL", "mylab.emd.EMD"]
    frame = pd.DataFrame({"loss._target_": targets})
    assert find_setting(frame, "loss", "by", "loss") == "loss._target_"
    for typed, kept in (("ce", [0]), ("CrossEntropyKL", [1]), ("EMD", [2]), (targets[2], [2])):
        assert list(filter_runs(frame, "loss", [typed]).index) == kept
    assert group_name(["loss._target_"], ["EMD"]) == "EMD"


def test_paths_runs_means_runs() -> None:
    assert read_words(["paths.runs=a"]) == read_words(["runs=a"]) == {"runs": "a"}
    with pytest.raises(ConfigError, match="one of the two"):
        read_words(["paths.runs=a", "runs=b"])


def test_a_folder_of_runs_may_have_a_comma(runs: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a, b [1] = 2"
    odd.symlink_to(runs)
    assert len(select_runs({"runs": str(odd)}, tmp_path)) == len(select_runs({"runs": str(runs)}, tmp_path))
