import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import prepare
from ordinalclip.system.interruption import SIGNALS, Interrupt, Stopped, check_stop, signals_stop
from tests.conftest import Compose


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that came to whoever listened before."""
    heard: list[int] = []
    before = {number: signal.signal(number, lambda number, _: heard.append(number)) for number in SIGNALS}
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_at_the_next_look_and_is_then_others_again(number: signal.Signals, heard: list[int]) -> None:
    with pytest.raises(Stopped, match=f"asked to stop by {number.name}") as stop, signals_stop():  # noqa: PT012
        check_stop()
        os.kill(os.getpid(), number)
        check_stop()
    assert stop.value.code == 128 + number
    assert heard == []
    os.kill(os.getpid(), number)
    assert heard == [number]
    check_stop()


def test_one_that_came_too_late_is_handed_on(heard: list[int]) -> None:
    with signals_stop():
        os.kill(os.getpid(), signal.SIGUSR2)
    assert heard == [signal.SIGUSR2]
    check_stop()


def test_other_threads_leave_signals_alone(heard: list[int]) -> None:
    def listen() -> None:
        with signals_stop():
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [signal.SIGTERM]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_run_stops_between_batches_and_keeps_its_last_epoch(
    compose_cfg: Compose, number: signal.Signals, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ordinalclip.training.module import OrdinalModule

    step, steps = OrdinalModule.training_step, []

    def step_and_signal(self: Any, batch: Any, batch_idx: int) -> Any:
        steps.append((self.current_epoch, batch_idx))
        if steps[-1] == (1, 0) and steps.count((1, 0)) == 1:
            os.kill(os.getpid(), number)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(OrdinalModule, "training_step", step_and_signal)
    job = prepare(compose_cfg("batch_size=8"))
    with pytest.raises(Stopped):
        run_job(job, in_sweep=True)
    assert steps[-1] == (1, 0)
    assert sum(epoch == 0 for epoch, _ in steps) > 2
    assert job.run.status()["status"] == "interrupted"
    assert job.run.status()["error"] == f"Stopped: asked to stop by {number.name}"
    assert job.run.epochs_done() == 1
    assert {line["epoch"] for line in job.run.metrics()} == {0}
    assert heard == []

    run_job(prepare(compose_cfg("batch_size=8")), in_sweep=True)
    assert job.run.state() == "finished"
    assert steps[-1][0] == 2


def test_an_interrupt_that_python_drops_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    interrupt = Interrupt()
    try:
        interrupt.listen()
        interrupt.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_process_that_ignores_it_goes_on_doing_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Interrupt().listen()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
