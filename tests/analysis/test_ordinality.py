from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis.ordinality import ordinality_command
from ordinalclip.errors import ConfigError
from tests.analysis.made_runs import made_run


def with_features(directory: Path, best: np.ndarray, before: np.ndarray | None = None) -> Path:
    tensors = {"rank_features": best.astype(np.float32)}
    if before is not None:
        tensors["before"] = before.astype(np.float32)
    save_file(tensors, directory / "rank_features.safetensors")
    return directory


def arc(num_ranks: int) -> np.ndarray:
    """Perfectly ordered: on a quarter of a circle."""
    angle = np.linspace(0, np.pi / 2, num_ranks)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shuffled = arc(6)[[3, 0, 5, 1, 4, 2]]
    with_features(made_run(tmp_path, "a"), arc(6), before=shuffled)
    with_features(made_run(tmp_path, "b", {"protocol.select_on": "test"}), arc(9))
    made_run(tmp_path, "c", status="failed")
    (tmp_path / "mlflow.db").write_text("", encoding="utf-8")
    (tmp_path / "mlartifacts").mkdir()
    return tmp_path


def test_any_set_of_directories(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = ordinality_command([str(path) for path in sorted(root.iterdir())])  # runs/*
    assert list(zip(scores["run_id"], scores["stage"], scores["num_ranks"], strict=True)) == [
        ("a", "before", 6),
        ("a", "best", 6),
        ("b", "best", 9),
    ]
    assert scores["score"].tolist()[1:] == [1.0, 1.0]
    assert scores["adjusted"].tolist()[1:] == [1.0, 1.0]
    assert scores["adjusted"][0] < 0.5
    shown = capsys.readouterr().out
    assert "ordinality of 6 ranks: share of pairs in order" in shown
    assert "ordinality of 9 ranks without the diagonal" in shown
    assert "by chance          1.000" in shown
    assert "made-b *" in shown
    assert "selected on test" in shown
    assert "without rank features: made-c" in shown


def test_a_slice_of_the_ranks(root: Path) -> None:
    scores = ordinality_command([str(root / "made-b"), "ranks=2:5"])
    assert scores["num_ranks"].tolist() == [3]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["made-z"], "there is no such run"),
        (["made-c"], "none has rank features"),
        (["made-a", "sweep=x"], "chooses among runs, which are named already"),
        (["made-a", "ranks=5"], "is not a slice of ranks"),
        (["made-a", "ranks=5:9"], "is no slice of the ranks"),
    ],
)
def test_mistakes(root: Path, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINALCLIP_RUNS", str(root))
    with pytest.raises(ConfigError, match=told):
        ordinality_command(words)


def test_runs_are_chosen_as_elsewhere(root: Path) -> None:
    scores = ordinality_command([f"runs={root}", "protocol.select_on=val"])
    assert set(scores["run_id"]) == {"a"}
