import os
import signal
from pathlib import Path

import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import check_settings
from ordinalclip.system.slurm import own_job, stop_reason
from tests.conftest import Compose

PREEMPTED = (
    "JobId=9 ArrayJobId=8 JobState=RUNNING Reason=None EndTime=2026-11-26T15:20:32 PreemptTime=2026-11-26T15:20:17"
)
RUNNING = "JobId=9 ArrayJobId=8 JobState=RUNNING Reason=None EndTime=2026-11-27T03:19:41 PreemptTime=None"
REQUEUED = "JobId=9 ArrayJobId=8 JobState=COMPLETING Reason=None EndTime=Unknown"


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in its place, which shows its own words first; the lines after them are to be added."""
    script = tmp_path / "scontrol"
    script.write_text('#!/bin/sh\necho "asked=$3"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    return script


@pytest.mark.parametrize(
    ("by", "line", "why"),
    [
        (signal.SIGUSR2, PREEMPTED, "preempted"),
        (signal.SIGTERM, PREEMPTED, "preempted"),
        (signal.SIGUSR2, RUNNING, "timeout"),
        (signal.SIGTERM, RUNNING, ""),
        (signal.SIGTERM, REQUEUED, ""),
        (signal.SIGUSR2, "", ""),
    ],
)
def test_a_time_limit_is_told_from_a_preemption(by: signal.Signals, line: str, why: str, scontrol: Path) -> None:
    with scontrol.open("a") as file:
        file.write(f"echo '{line}'\n")
    assert stop_reason(by) == why


def test_a_task_of_an_array_asks_by_its_own_name(scontrol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_job()["asked"] == "9"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    assert own_job()["asked"] == "8_0"
    scontrol.write_text("#!/bin/sh\nexit 1\n")
    assert own_job() == {}
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID")
    monkeypatch.delenv("SLURM_JOB_ID")
    assert stop_reason(signal.SIGUSR2) == ""


@pytest.mark.slow
def test_a_run_on_two_devices_in_one_of_two_tasks_is_refused(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    check_settings(compose_cfg())  # on one device: tasks may be runs of their own
    with pytest.raises(ConfigError, match="srun started this 2 times") as caught:
        check_settings(compose_cfg("trainer.devices=2"))
    assert "srun -n1 --gpus=2" in str(caught.value)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    check_settings(compose_cfg("trainer.devices=2"))
