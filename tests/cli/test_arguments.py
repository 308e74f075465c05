"""How `sweep=` is sorted before Hydra sees it."""

from pathlib import Path

import pytest

from ordinalclip.cli.help import read_arguments


def test_a_sweep_of_the_folder_means_m() -> None:
    typed = read_arguments(["sweep=few_shot", "seed=0"], "x")
    assert typed.for_hydra == ["sweep=few_shot", "seed=0", "-m"]
    assert read_arguments(["-m", "sweep=few_shot"], "x").for_hydra == ["sweep=few_shot", "-m"]
    assert read_arguments(["--multirun", "sweep=few_shot"], "x").for_hydra == ["sweep=few_shot", "--multirun"]
    assert read_arguments(["sweep=few_shot", "--cfg", "job"], "x").for_hydra == ["sweep=few_shot", "--cfg", "job"]


def test_any_other_sweep_is_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    typed = read_arguments(["seed=0,1", "-m", "sweep=mine"], "x")
    assert typed.for_hydra == ["seed=0,1", "sweep_name=mine", "-m"]
    assert typed.overrides == ["seed=0,1", "sweep_name=mine"]
    assert typed.note == ""
    assert read_arguments(["sweep=mine"], "x").for_hydra == ["sweep_name=mine"]
    assert "did you mean few_shot?" in read_arguments(["sweep=fewshot"], "x").note
    for several in (["sweep=few_shot,shift"], ["sweep=shift", "sweep=few_shot"]):
        with pytest.raises(SystemExit):
            read_arguments(several, "x")
        assert "one sweep at a time" in capsys.readouterr().err


def test_sweeps_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "own.yaml").write_text("# @package _global_\n# mine\n")
    assert read_arguments(["sweep=own"], "x").for_hydra == ["sweep_name=own"]
    words = ["--config-dir", str(tmp_path), "sweep=own"]
    assert read_arguments(words, "x").for_hydra == ["sweep=own", "--config-dir", str(tmp_path), "-m"]
