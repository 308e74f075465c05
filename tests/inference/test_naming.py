"""`run=best:…`: of a sweep's runs, however they came to its name."""

import json
from pathlib import Path

import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.inference.naming import resolve_run


def made(root: Path, run_id: str, *, sweep: str | None = None, status: str = "finished", **scores: float) -> None:
    folder = root / f"faces-tiny-rank-s0-{run_id}"
    folder.mkdir(parents=True)
    for name, content in {
        "identity.json": {},
        "labels.json": {"sweep": sweep},
        "status.json": {"status": status},
        "val_stats.json": {f"val/{name}": score for name, score in scores.items()},
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A listed sweep of a and b; c was given its name alone; d is of another; e is not finished."""
    made(tmp_path, "aaaaaaaaaa", mae=0.5, qwk=0.9)
    made(tmp_path, "bbbbbbbbbb", mae=0.4, qwk=0.7)
    made(tmp_path, "cccccccccc", sweep="first", mae=0.3, qwk=0.8)
    made(tmp_path, "dddddddddd", sweep="other", mae=0.2, qwk=0.95)
    made(tmp_path, "eeeeeeeeee", sweep="first", status="failed", mae=0.1, qwk=0.99)
    (tmp_path / "sweeps").mkdir()
    runs = [f"faces-tiny-rank-s0-{letter * 10}" for letter in "ab"]
    (tmp_path / "sweeps" / "first.json").write_text(json.dumps({"runs": runs}), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "run_id"),
    [
        ("best:sweep=first,metric=val/mae", "cccccccccc"),
        ("best:sweep=first", "cccccccccc"),
        ("best:sweep=first,metric=val/qwk", "aaaaaaaaaa"),
        ("best:sweep=other", "dddddddddd"),
        ("best:metric=val/qwk", "dddddddddd"),
        ("best:", "dddddddddd"),
    ],
)
def test_the_best(root: Path, words: str, run_id: str) -> None:
    assert resolve_run(words, root, {}).run_id == run_id


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("best:sweep=none", r"(?s)there is no sweep none.*allowed: first, other"),
        ("best:sweep=first,metric=val/none", "none of 4 runs is finished and has val/none"),
        ("best:sweep=first,metric=mae", "a model is not chosen on mae"),
        ("mlflow:12", "no MLflow store is named"),
    ],
)
def test_what_there_is_not(root: Path, words: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        resolve_run(words, root, {})
