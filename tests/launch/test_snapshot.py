"""What is submitted is copied once, runs from its copy, and knows the commit and the changes that it is of."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ordinalclip
from launch.snapshot import take_snapshot

ROOT = Path(ordinalclip.__file__).parent.parent
_TELL = """
import json
from ordinalclip.runs import provenance
print(json.dumps([provenance.__file__, provenance.code_version(), provenance.code_diff().decode()]))
"""
_TAKE = """
import sys
from pathlib import Path
from launch.snapshot import take_snapshot
print(take_snapshot(Path(sys.argv[1])).folder)
"""


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def python(code: str, *words: str, pythonpath: str, cwd: Path) -> str:
    env = os.environ | {"PYTHONPATH": pythonpath, "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", code, *words], env=env, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of one commit with a change, a new file, settings of this machine and an ignored file."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("ordinalclip", "launch", "analysis", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("conf/local/\n*.secret\n__pycache__/\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    module = folder / "ordinalclip" / "errors.py"
    module.write_text(module.read_text() + "# changed\n")
    (folder / "conf" / "prompt" / "mine.yaml").write_text("# mine\n_target_: x.Y\n")
    (folder / "conf" / "local").mkdir(exist_ok=True)
    (folder / "conf" / "local" / "default.yaml").write_text("# @package _global_\nepochs: 3\n")
    (folder / "ordinalclip" / "key.secret").write_text("no")
    return folder


def copied(checkout: Path, runs: Path) -> Path:
    path = f"{checkout}{os.pathsep}{checkout / 'launch'}"
    return Path(python(_TAKE, str(runs), pythonpath=path, cwd=runs.parent))


@pytest.mark.slow
def test_a_job_from_a_snapshot_names_commit_and_changes(checkout: Path, tmp_path: Path) -> None:
    folder = copied(checkout, tmp_path / "runs")
    commit = git(checkout, "rev-parse", "HEAD")
    assert folder.parent == tmp_path / "runs" / "sweeps" / ".code"
    assert folder.name.startswith(f"{commit[:12]}-")
    assert (folder / "conf" / "local" / "default.yaml").is_file()
    assert (folder / "conf" / "prompt" / "mine.yaml").is_file()
    assert not (folder / "ordinalclip" / "key.secret").exists()
    assert copied(checkout, tmp_path / "runs") == folder  # equal code, one copy
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    # The checkout moves on; a job from the copy does not notice, and says what it is. It even starts in the checkout.
    module = checkout / "ordinalclip" / "errors.py"
    before = module.read_text()
    module.write_text("raise SystemExit('edited')\n")
    path = f"{folder}{os.pathsep}{folder / 'launch'}"
    where, code, diff = json.loads(python(_TELL, pythonpath=path, cwd=checkout))
    other = copied_with(module, before + "# again\n", checkout, tmp_path / "runs")
    assert where.startswith(str(folder))
    assert (code["git"], code["dirty"], code["version"]) == (commit, True, ordinalclip.__version__)
    assert code["changed"] == [" M ordinalclip/errors.py", "?? conf/prompt/mine.yaml"]
    assert other != folder

    # The kept changes make of the commit what ran.
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(checkout), str(again))
    (tmp_path / "code.diff").write_text(diff)
    git(again, "apply", str(tmp_path / "code.diff"))
    for name in ("ordinalclip/errors.py", "conf/prompt/mine.yaml"):
        assert (again / name).read_text() == (folder / name).read_text()


def copied_with(module: Path, text: str, checkout: Path, runs: Path) -> Path:
    module.write_text(text)
    return copied(checkout, runs)


def test_of_an_installed_package_and_with_options_of_ones_own(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    for name in ("ordinalclip", "launch", "analysis"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__", "hydra_plugins"))
    shutil.copytree(ROOT / "conf", site / "ordinalclip" / "conf")
    shutil.copytree(ROOT / "launch" / "hydra_plugins", site / "hydra_plugins")
    (site / "hydra_plugins" / "somebody_elses.py").write_text("x = 1\n")
    own = tmp_path / "own"
    (own / "prompt").mkdir(parents=True)
    (own / "prompt" / "mine.yaml").write_text("# mine\n")
    shot = take_snapshot(tmp_path / "runs", [own], package=site / "ordinalclip")
    assert (shot.folder / "conf" / "train.yaml").is_file()
    assert not (shot.folder / "ordinalclip" / "conf").exists()
    plugins = sorted(path.name for path in (shot.folder / "launch" / "hydra_plugins").iterdir())
    assert "ordinalclip_sweeper.py" in plugins
    assert "somebody_elses.py" not in plugins
    (copy,) = shot.config_dirs
    assert (copy / "prompt" / "mine.yaml").read_text() == "# mine\n"
    loaded = python(_TELL, pythonpath=shot.pythonpath, cwd=tmp_path)
    assert json.loads(loaded)[0].startswith(str(shot.folder))


def test_the_lines_of_a_job_put_the_copy_first(tmp_path: Path) -> None:
    shot = take_snapshot(tmp_path / "it's $HOME" / "runs")
    script = "\n".join([*shot.setup, f"cd {ROOT}", f"{sys.executable} -m ordinalclip.errors", 'echo "$PYTHONPATH"'])
    done = subprocess.run(["bash", "-c", script], env=os.environ | {"PYTHONPATH": "/x"}, capture_output=True, text=True)
    assert done.stdout.strip() == f"{shot.pythonpath}:/x"
    where = "import ordinalclip; print(ordinalclip.__file__)"
    script = "\n".join([*shot.setup, f"cd {ROOT}", f"{sys.executable} -c '{where}'"])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout.startswith(str(shot.folder)), done
