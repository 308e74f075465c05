"""`make` on a copy of the tree, with a Python in place that notes what it is asked and installs nothing."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")

STUB = """#!/usr/bin/env bash
case "$*" in
  *"sys.version_info"*) [ "${STUB_VERSION:-3.11}" = 3.11 ] ;;
  *"import ensurepip"*) [ -z "${STUB_NO_VENV:-}" ] ;;
  "-m venv"*)
    rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$0" .venv/bin/lint-imports
    echo venv >>calls ;;
  "-m pip install"*)
    echo "pip ${*: -1}" >>calls
    sleep "${STUB_TAKES:-0}"
    echo "Collecting torch==1 (from -r requirements.lock (line 1))"
    case "${STUB_DIES_AT:-nothing}" in "${*: -1}") echo "no space left" && exit 1 ;; esac ;;
  *) echo "run $*" >>calls ;;
esac
"""
FRESH = ["venv", "pip .venv/first.txt", "pip requirements.lock", "pip ."]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "a tree"
    shutil.copytree(ROOT / ".ci", tree / ".ci")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    (tree / "python").write_text(STUB)
    (tree / "python").chmod(0o755)
    return tree


def told(tree: Path) -> list[str]:
    calls = tree / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


def make(tree: Path, *arguments: str, **environment: str) -> tuple[int, list[str], str]:
    """Runs make and tells its status, what Python was asked to do meanwhile, and what was printed."""
    before = told(tree)
    # Under `make test` the outer make's own options would be handed on.
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}
    result = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={tree / 'python'}", *arguments],
        cwd=tree,
        env=outer | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, told(tree)[len(before) :], result.stdout + result.stderr


def test_each_target_sets_up_and_the_second_installs_nothing(tree: Path) -> None:
    assert make(tree, "train", "ARGS=prompt=context seed=1")[:2] == (
        0,
        [*FRESH, "run -m ordinalclip.train prompt=context seed=1"],
    )
    assert make(tree, "train")[1] == ["run -m ordinalclip.train"]
    assert make(tree, "test")[1] == ["run -m pytest -n 2 --dist loadfile --no-loadscope-reorder"]
    os.utime(tree / "requirements.lock")  # content counts, not time
    assert make(tree, "test-fast")[1] == ["run -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m not slow"]
    assert make(tree, "check")[1] == [
        "run -m ruff check .",
        "run -m ruff format --check .",
        "run -m mypy",
        "run -m codespell_lib",
        "run --no-logo",
    ]


@pytest.mark.parametrize("step", ["requirements.lock", "."])
def test_an_unfinished_installation_is_repaired(tree: Path, step: str) -> None:
    status, calls, output = make(tree, "test", STUB_DIES_AT=step)
    assert status != 0
    assert calls == FRESH[: FRESH.index(f"pip {step}") + 1]
    assert "no space left" in output
    # pip counts half a package as installed: only a finished step is kept
    expected = FRESH if step == "requirements.lock" else ["pip ."]
    assert make(tree, "setup")[1] == expected


def test_changes_are_followed(tree: Path) -> None:
    make(tree, "setup")
    with (tree / "pyproject.toml").open("a") as file:
        file.write("# more\n")
    assert make(tree, "setup")[1] == ["pip ."]
    (tree / "launch" / "hydra_plugins").mkdir(parents=True)
    (tree / "launch" / "hydra_plugins" / "ordinalclip_new.py").write_text("# such files are copied\n")
    assert make(tree, "setup")[1] == ["pip ."]
    assert make(tree, "setup")[1] == []
    with (tree / "requirements.lock").open("a") as file:
        file.write("# more\n")
    assert make(tree, "setup")[1] == FRESH[1:]
    moved = tree.rename(tree.with_name("moved"))
    assert make(moved, "setup")[1] == FRESH


def test_of_two_started_together_one_installs(tree: Path) -> None:
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: make(tree, "setup", STUB_TAKES="0.2"), range(2)))
    assert [status for status, _, _ in runs] == [0, 0]
    assert told(tree) == FRESH
    assert sum("waiting" in output for _, _, output in runs) == 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [({"STUB_VERSION": "3.12"}, "Python 3.11 is needed"), ({"STUB_NO_VENV": "1"}, "python3.11-venv")],
)
def test_what_is_missing_is_told(tree: Path, environment: dict[str, str], message: str) -> None:
    status, calls, output = make(tree, "setup", **environment)
    assert (status != 0, calls) == (True, [])
    assert message in output


def test_the_build_backend_is_installed_first_with_its_hashes(tree: Path) -> None:
    make(tree, "setup")
    first = (tree / ".venv/first.txt").read_text().splitlines()
    assert first[0].startswith("setuptools==")
    assert len(first) > 1
    assert all(line.strip().startswith("--hash=sha256:") for line in first[1:])


def test_help_names_every_target(tree: Path) -> None:
    status, calls, output = make(tree, "help")
    assert (status, calls) == (0, [])
    for target in ("setup", "train", "test", "test-fast", "check", "ui", "lock", "clean-cache", "clean"):
        assert f"\n  {target} " in output


def test_ui_says_when_there_is_nothing_to_show(tree: Path) -> None:
    make(tree, "setup")
    status, calls, output = make(tree, "ui")
    assert (status != 0, calls) == (True, [])
    assert "make train" in output


def test_clean_leaves_what_was_worked_for(tree: Path) -> None:
    kept = ["runs/one/metrics.jsonl", "data/set/image.png", ".cache/weights.pt", "runs/__pycache__/kept"]
    gone = [".ruff_cache/x", "dist/x.whl", "tests/__pycache__/x.pyc", "ordinalclip.egg-info/x"]
    for name in kept + gone:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    status, _, output = make(tree, "clean")
    assert status == 0
    assert [name for name in kept if not (tree / name).exists()] == []
    assert [name for name in gone if (tree / name).exists()] == []
    assert "left runs" in output
    assert "left data" in output


def test_scripts_are_executable_and_sound() -> None:
    for script in ("run", "setup"):
        assert os.access(ROOT / ".ci" / script, os.X_OK)
        subprocess.run(["bash", "-n", ROOT / ".ci" / script], check=True)
