"""Missing runs are queued once, however often the command is typed; errors of SLURM are reported."""

import io
import json
import re
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from launch.plan import run as plan
from launch.queue_claims import Claims
from launch.run_states import read_run_states
from launch.submit import run as submit
from ordinalclip.errors import ConfigError
from ordinalclip.runs.run import Run
from tests.launch.fake_slurm import FakeSlurm


def finish(directory: Path, **facts: object) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "status.json").write_text(json.dumps({"status": "finished", "epoch": 2, "epochs": 2, **facts}))


@pytest.mark.slow
def test_what_is_missing_is_queued_once(
    tmp_path: Path, slurm: FakeSlurm, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *small, "prompt=rank,linear", "seed=0,1", "sweep=first"]
    first = submit(words)
    assert (first.slurm_ids, first.arrays) == ([f"17_{task}" for task in range(4)], ["17"])
    assert capsys.readouterr().out == "17\n"
    runs = tmp_path / "runs"
    lines = [json.loads(line) for line in (first.plan or Path()).read_text().splitlines()]
    noted = json.loads((runs / "sweeps" / "first.json").read_text())["runs"]
    assert {line["run"]: line["overrides"] for line in lines[1:]} == noted
    assert "tracking=offline" in lines[1]["overrides"]
    assert lines[0]["arguments"] == [*words[1:-1], "sweep_name=first"]
    # Each job runs the copy of the code, with the settings of cluster=default.
    script = Path(slurm.calls("sbatch")[0][-1]).read_text()
    (code,) = (runs / "sweeps" / ".code").iterdir()
    assert f"export PYTHONPATH={code}:{code}/launch" in script
    assert "\nexport HF_HUB_OFFLINE=1\n" in script
    assert "#SBATCH --signal=USR2@120" in script
    assert "\n#SBATCH --requeue\n" in script

    again = submit(words)
    assert (again.slurm_ids, again.plan) == ([], None)
    assert {one.state for one in again.states_before} == {"queued"}
    assert len(slurm.jobs()) == 1
    assert len(list((runs / "sweeps").glob("*.jsonl"))) == 1

    # One has finished, one's job was cancelled, one is asked for anew: only what is missing.
    names = [line["run"] for line in lines[1:]]
    finish(runs / names[0])
    slurm.set("17_1", "CANCELLED")
    slurm.set("17_2", "RUNNING")
    third = submit([*words[:-2], "seed=0,1,2", "sweep=first"])
    assert [one.state for one in third.states_before] == ["finished", "new", "new", "queued", "queued", "new"]
    assert third.slurm_ids == ["18_0", "18_1", "18_2"]
    claims = Claims(runs).read()
    assert claims[names[1].rpartition("-")[2]].slurm_id == "18_0"


@pytest.mark.slow
def test_a_queue_that_does_not_answer_keeps_its_claims(tmp_path: Path, slurm: FakeSlurm, small: list[str]) -> None:
    submit([*small])
    assert slurm.jobs() == {"17": {"17": "PENDING"}}  # one job is no array
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert submit([*small]).slurm_ids == []


@pytest.mark.slow
def test_arrays_keep_to_the_sites_limit_and_refusals_are_told(
    tmp_path: Path, slurm: FakeSlurm, small: list[str]
) -> None:
    slurm.accept(2)
    words = ["-m", *small, "seed=range(7)", "cluster.array_limit=3"]
    with pytest.raises(ConfigError, match="QOSMaxSubmitJobPerUserLimit"):
        submit(words)
    assert [len(tasks) for tasks in slurm.jobs().values()] == [3, 3]
    claims = Claims(tmp_path / "runs").read()
    assert sorted(str(claim.slurm_id) for claim in claims.values()) == [
        f"{job}_{n}" for job in (17, 18) for n in range(3)
    ]
    slurm.accept(9)
    assert submit(words).slurm_ids == ["19"]


@pytest.mark.slow
def test_nothing_is_queued_where_one_job_cannot_start(
    tmp_path: Path, slurm: FakeSlurm, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=re.escape("prompt.num_base_ranks=99")):
        submit(["-m", *small, "prompt.num_base_ranks=3,99"])
    for name in ("../x", "/x", ".x", "", "a,b"):
        with pytest.raises(ConfigError, match="cannot be a sweep's name"):
            submit([*small, f"sweep_name='{name}'"])
    for words, told in (
        (["tracking=local"], "analysis.sync shows"),
        (["tracking.experiment=mine"], "analysis.sync tracking.experiment=mine shows"),
    ):
        with pytest.raises(ConfigError, match="SQLite") as caught:
            submit([*small, *words])
        assert caught.value.key == words[0].partition("=")[0]
        assert told in str(caught.value)
    assert slurm.jobs() == {}
    assert not (tmp_path / "runs").exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no SLURM cluster"):
        submit(small)
    assert Claims(tmp_path / "runs").read() == {}


@pytest.mark.slow
def test_rerun_archives_once_and_not_at_every_start(tmp_path: Path, slurm: FakeSlurm, small: list[str]) -> None:
    (planned,) = plan(small)
    assert planned.job is not None
    directory = planned.job.run.directory
    finish(directory)
    assert submit(small).slurm_ids == []
    assert submit([*small, "rerun=true"]).slurm_ids == ["17"]
    assert not directory.exists()
    assert len(list((tmp_path / "runs" / "archive").iterdir())) == 1
    (stands,) = read_run_states([Run(directory)], tmp_path / "runs")
    assert (stands.state, stands.reason) == ("queued", "job 17")


@pytest.mark.slow
def test_a_job_has_its_sites_settings_and_all_of_its_cores(slurm: FakeSlurm, small: list[str]) -> None:
    site = ["cluster.partition=p", "cluster.account=a", "cluster.constraint=a100|h100", "cluster.cpus=3"]
    submit([*small, *site, "cluster.setup=[module load cuda]", "+hydra.launcher.additional_parameters.nice=5"])
    lines = Path(slurm.calls("sbatch")[0][-1]).read_text().splitlines()
    options = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert options >= {"partition=p", "account=a", "constraint='a100|h100'", "cpus-per-task=3", "nice=5"}
    assert options >= {"time=720", "signal=USR2@120", "gpus-per-node=1", "mem=8GB", "requeue"}
    assert "module load cuda" in lines
    submit([*small, "seed=1", "hydra.launcher.additional_parameters.requeue=false"])
    assert "requeue" not in Path(slurm.calls("sbatch")[1][-1]).read_text()
    told = next(line for line in lines if "SRUN_CPUS_PER_TASK" in line)  # srun does not take them over by itself
    for cpus, found in (("3", "3"), ("", "")):
        done = subprocess.run(
            ["bash", "-c", f"{told}; echo $SRUN_CPUS_PER_TASK"],
            env={"SLURM_CPUS_PER_TASK": cpus},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == found


@pytest.mark.slow
def test_a_server_that_jobs_or_this_machine_cannot_reach_is_warned_of(
    slurm: FakeSlurm, small: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, float]] = []

    def answers(address: str, timeout: float) -> io.BytesIO:
        asked.append((address, timeout))
        return io.BytesIO()

    monkeypatch.setattr("urllib.request.urlopen", answers)
    submit(["-m", *small, "seed=0,1", "tracking=server", "tracking.uri=http://elsewhere:5000"])
    assert asked == [("http://elsewhere:5000/health", 3.0)]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    submit([*small, "tracking=server", "tracking.uri=http://localhost:9", "seed=7"])
    assert "http://localhost:9 is each machine's own address" in caplog.text
    assert "http://localhost:9 does not answer from here" in caplog.text
