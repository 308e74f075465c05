"""Rendering many pictures in several processes: `python -m ordinalclip.datasets.heads.workers` is one of them.

Processes of their own, since most of numpy's indexing holds the interpreter's lock, and started as programs, since a
fork of a process with threads may hang. A worker reads `subject image` by line and tells each picture it is done with
by a line; it ends with its input, so that none outlives whoever started it.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from ordinalclip.datasets.files import write_atomically
from ordinalclip.datasets.heads.render import render_head
from ordinalclip.datasets.heads.series import Series
from ordinalclip.errors import DataError
from ordinalclip.image_build import num_threads
from ordinalclip.progress import progress

_WORTH_A_PROCESS = 40  # pictures; starting one costs as much as rendering some ten
_MOST = 16


def render_all(root: Path, series: Series, wanted: Sequence[tuple[int, int]], size: int) -> None:
    """Render pictures into a folder; what is done stays when this is interrupted.

    Args:
        root: the folder.
        series: who is on them, and how old.
        wanted: subject and image of each.
        size: edge in pixels.

    Raises:
        DataError: where a worker fails.
    """
    number = min(num_threads(), _MOST, len(wanted) // _WORTH_A_PROCESS)
    with progress("rendering heads", len(wanted), " images") as bar:
        if number < 2:
            for subject, image in wanted:
                render_file(root, series, subject, image, size)
                bar.update()
            return
        _in_processes(root, series, wanted, size, number, bar.update)


def render_file(root: Path, series: Series, subject: int, image: int, size: int) -> None:
    """Render one picture, unless somebody has."""
    file = root / series.file(subject, image)
    if file.exists():
        return
    picture = render_head(series, subject, image, size)
    write_atomically(file, lambda part: picture.save(part, "PNG", compress_level=1))


def _in_processes(
    root: Path, series: Series, wanted: Sequence[tuple[int, int]], size: int, number: int, done: Callable[[], object]
) -> None:
    queue = deque(wanted)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    first = json.dumps({"root": str(root), "size": size, **asdict(series)})

    def serve() -> None:
        """Hand one worker a picture at a time, until none is left or another's failure has emptied the queue."""
        with subprocess.Popen(
            [sys.executable, "-m", __spec__.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,  # Ctrl-C is for whoever asked for the pictures
        ) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.write(f"{first}\n")
                while queue:
                    with contextlib.suppress(IndexError):  # another took the last one
                        worker.stdin.write("{} {}\n".format(*queue.popleft()))
                        worker.stdin.flush()
                        if not worker.stdout.readline():
                            break
                        done()
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
        if worker.returncode:
            queue.clear()
            raise DataError(f"a process that renders heads ended with {worker.returncode}; what it said stands above")

    with ThreadPoolExecutor(number) as pool:
        serving = [pool.submit(serve) for _ in range(number)]
        try:
            for one in serving:
                one.result()
        except BaseException:  # Ctrl-C, or a failure: pictures that are begun are finished, no more are begun
            queue.clear()
            raise


def _work() -> None:
    """A worker: pictures by line from the input, until that ends."""
    first = json.loads(sys.stdin.readline())
    root, size = Path(first.pop("root")), first.pop("size")
    series = Series(first["seed"], tuple(first["ages"]), first["span"])
    for line in sys.stdin:
        subject, image = (int(word) for word in line.split())
        render_file(root, series, subject, image, size)
        print(subject, image, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        _work()
