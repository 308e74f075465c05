"""Processes that start with their imports done, which take 8 s of CPU time where torch, Lightning, … are among them.

A server imports what such a process imports and then only forks, so that it has a single thread and has read no
settings. What it forks is a process like any other: it has its own id, environment, folder, arguments and files, it can
be killed or interrupted, and it ends as Python ends.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import multiprocessing
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests import ROOT

_SIZE = 1 << 20  # bytes of a request at most
LIGHT = ("hydra.main", "hydra._internal.utils", "ordinalclip.execution.job", "ordinalclip.preparation.prepare")
HEAVY = (
    *LIGHT,
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "mlflow",
    "open_clip",
    "ordinalclip.execution.fit",
    "ordinalclip.report.gallery",
    "ordinalclip.report.page",
    "ordinalclip.tracking.store",
)


class Process:
    """A forked process, with what the tests use of `subprocess.Popen`; its output goes to files."""

    def __init__(self, pid: int, status: socket.socket, out: io.FileIO, err: io.FileIO) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status, self._out, self._err = status, out, err

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(self._status.recv(32))
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written to stdout and stderr, once it has ended."""
        self.wait(timeout)
        for file in (self._out, self._err):
            file.seek(0)
        return self._out.read().decode(), self._err.read().decode()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self.send_signal(signal.SIGKILL)
        self.wait()
        self._out.close()
        self._err.close()


def start(
    module: str,
    *words: str,
    folder: Path = ROOT,
    env: Mapping[str, str] = os.environ,
    imports: tuple[str, ...] = HEAVY,
) -> Process:
    """`python -m MODULE WORDS` (or `python -c CODE WORDS`) in a folder, with these modules imported."""
    out, err = (io.FileIO(os.memfd_create(name), "w+") for name in ("stdout", "stderr"))
    ours, theirs = socket.socketpair()
    request = json.dumps({"argv": [module, *words], "folder": str(folder), "env": dict(env)}).encode()
    with theirs:
        files = [out.fileno(), err.fileno(), theirs.fileno()]
        socket.send_fds(_server(imports).control, [request], files)
    return Process(int(ours.recv(32)), ours, out, err)


def run(
    module: str,
    *words: str,
    folder: Path = ROOT,
    env: Mapping[str, str] = os.environ,
    imports: tuple[str, ...] = HEAVY,
) -> subprocess.CompletedProcess[str]:
    """The same, to its end."""
    with start(module, *words, folder=folder, env=env, imports=imports) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess([module, *words], process.returncode or 0, out, err)


def together(work: Callable[[int, str], None], number: int, folder: Path) -> None:
    """`work(0, folder)`, `work(1, folder)`, …, each in a process of its own, as `torch.multiprocessing.spawn` does."""
    call = f"from {work.__module__} import {work.__name__}; {work.__name__}({{}}, {str(folder)!r})"
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(start("-c", call.format(process))) for process in range(number)]
        for process in processes:
            assert process.wait(300) == 0, process.communicate()[1]


def mp_context() -> Any:
    """A context for multiprocessing whose processes start with their imports done; they share nothing, as spawned."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*HEAVY])
    return context


class _Server(NamedTuple):
    control: socket.socket
    process: subprocess.Popen[bytes]
    home: tempfile.TemporaryDirectory[str]


@functools.cache
def _server(imports: tuple[str, ...]) -> _Server:
    """Starts the server, which ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    home = tempfile.TemporaryDirectory(prefix="home")  # Matplotlib leaves its list of fonts there
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOME": home.name, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "tests.warm", str(theirs.fileno()), *imports]
    with theirs:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    atexit.register(_end, process, ours, home)
    return _Server(ours, process, home)


def _end(process: subprocess.Popen[bytes], control: socket.socket, home: tempfile.TemporaryDirectory[str]) -> None:
    control.close()
    process.wait()
    home.cleanup()


def _serve(control: socket.socket) -> list[str]:
    """Forks a process for every request; returns in the forked ones only, with their arguments."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is control:
                request, files, _, _ = socket.recv_fds(control, _SIZE, 3)
                if not request:
                    raise SystemExit
                out, err, status = files
                pid = os.fork()
                if pid == 0:
                    control.close()
                    for other in list(selector.get_map().values()):
                        if other.data is not None:
                            os.close(other.fd)
                            os.close(other.data[1])
                    selector.close()
                    os.close(status)
                    return _become(json.loads(request), out, err)
                os.close(out)
                os.close(err)
                os.write(status, str(pid).encode())
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, status))
            else:
                pid, status = key.data
                selector.unregister(key.fileobj)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(OSError):
                    os.write(status, str(code).encode())
                os.close(status)


def _become(request: dict[str, Any], out: int, err: int) -> list[str]:
    for file, number in ((out, 1), (err, 2)):
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    return list(request["argv"])


def _words() -> Sequence[str]:
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the collector of a forked process leaves alone what it has inherited
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    sys.argv = [*_words()]
    sys.path[0] = os.getcwd()  # as `python -m` has it
    if sys.argv[0] == "-c":
        exec(sys.argv.pop(1), {"__name__": "__main__"})
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
