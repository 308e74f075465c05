"""A finished run is opened from files that are what was written, or not at all."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import ordinalclip
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.evaluate import evaluate
from ordinalclip.runs.run import Run
from tests.trained import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sums")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return train(folder, "prompt=linear")


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Path:
    place = tmp_path / run.directory.name
    shutil.copytree(run.directory, place)
    return place


@pytest.mark.slow
def test_sums_are_those_that_sha256sum_checks(run: Run) -> None:
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=run.directory, check=False).returncode == 0
    assert (run.directory / "SHA256SUMS").read_text(encoding="utf-8").count("\n") == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["config.yaml", "ranks.json", "calibration.json", "rank_features.safetensors", "ckpt/best.ckpt"]
)
@pytest.mark.parametrize("harm", ["changed", "truncated", "gone"])
def test_a_file_that_is_not_what_was_written_is_refused(copy: Path, name: str, harm: str) -> None:
    assert len(ordinalclip.load(copy, device="cpu").ranks.names) > 1
    file = copy / name
    content = bytearray(file.read_bytes())
    if harm == "gone":
        file.unlink()
        if name == "config.yaml":  # then it is no run at all
            with pytest.raises(ConfigError, match="there is no such run"):
                ordinalclip.load(copy, device="cpu")
            return
    elif harm == "truncated":
        file.write_bytes(content[:-3])
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    for use in (lambda: ordinalclip.load(copy, device="cpu"), lambda: evaluate([f"run={copy}"])):
        with pytest.raises(DataError, match=rf"(?s){name}: is .*what to do: "):
            use()


@pytest.mark.parametrize("kept", [0, 3])
def test_sums_that_were_emptied_or_cut_off_switch_no_check_off(copy: Path, kept: int) -> None:
    lines = (copy / "SHA256SUMS").read_text(encoding="utf-8").splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join(lines[:kept]), encoding="utf-8")
    with pytest.raises(DataError, match="is not the file that was written"):
        ordinalclip.load(copy, device="cpu")


def test_a_run_by_an_older_version_has_none_and_is_opened(copy: Path) -> None:
    (copy / "SHA256SUMS").unlink()
    assert len(ordinalclip.load(copy, device="cpu").ranks.names) > 1


def test_what_is_written_later_is_not_under_them(copy: Path) -> None:
    status = json.loads((copy / "status.json").read_text(encoding="utf-8"))
    (copy / "status.json").write_text(json.dumps(status | {"seconds": 1}), encoding="utf-8")
    (copy / "evaluations").mkdir()
    assert len(ordinalclip.load(copy, device="cpu").ranks.names) > 1
