"""What becomes of a fit whose other process does not start, or dies: an error that says why, at once."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ordinalclip.execution.fit import train_in_worker
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.system.interruption import Stopped, signals_stop
from ordinalclip.training import processes
from ordinalclip.training.processes import WorkerFailed, worker_processes
from tests import ended_helpers
from tests.conftest import Compose

KILLED = "process 1 of 2 was killed by SIGKILL; was there too little memory?"


@pytest.fixture
def job(compose_cfg: Compose) -> Job:
    return prepare(compose_cfg("trainer.devices=2"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("helper", "told"),
    [
        (ended_helpers.die, KILLED),
        (ended_helpers.meet_and_die, KILLED),
        (ended_helpers.tell_what_is_blocked, "SIGINT SIGTERM SIGUSR1 SIGUSR2"),
    ],
)
def test_how_a_helper_ended_is_told(
    job: Job, monkeypatch: pytest.MonkeyPatch, helper: Callable[..., Any], told: str
) -> None:
    monkeypatch.setattr(processes, "_worker_main", helper)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(WorkerFailed) as failure, worker_processes(job, train_in_worker) as world:  # noqa: PT012
        assert helper is ended_helpers.meet_and_die
        for _ in range(2):
            world.total(1, torch.device("cpu"))
    assert str(failure.value) == told
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


@pytest.mark.slow
def test_a_signal_is_heard_while_helpers_start(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_worker_main", ended_helpers.never_come)
    with pytest.raises(Stopped), signals_stop(), monkeypatch.context() as patched:  # noqa: PT012
        patched.setattr(processes, "_POLL_S", 0.01)
        os.kill(os.getpid(), signal.SIGUSR2)
        with worker_processes(job, train_in_worker):
            raise AssertionError
