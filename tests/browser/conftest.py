"""A real browser, and MLflow on the store of a small real sweep."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.run_cli import SMALL, train

_CHROMIUM = Path("/usr/bin/chromium")
_QUIET = "--no-sandbox --disable-quic --disable-background-networking --disable-component-update --disable-sync"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, which looks for nothing on the internet."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not _CHROMIUM.exists():
        if "browser" in os.environ.get("ORDINALCLIP_REQUIRE", "").split(","):
            raise FileNotFoundError(_CHROMIUM)
        pytest.skip("there is no /usr/bin/chromium; on Debian: apt-get install chromium fonts-dejavu-core")
    with sync_api.sync_playwright() as playwright:
        args = [*_QUIET.split(), "--no-first-run"]
        started = playwright.chromium.launch(executable_path=str(_CHROMIUM), args=args)
        yield started
        started.close()


@pytest.fixture(scope="session")
def runs(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep's runs: two prompts, two seeds."""
    folder = tmp_path_factory.mktemp("sweep") / "here"
    folder.mkdir()
    small = [word for word in SMALL if not word.startswith("tracking=")]
    done = train(folder, "-m", *small, "tracking=local", "lr=1e-2", "prompt=rank,context", "seed=0,1", "sweep=first")
    assert done.returncode == 0, done.stderr
    return folder / "runs"


@pytest.fixture(scope="session")
def server(runs: Path) -> Iterator[dict[str, str]]:
    """What `python -m analysis.ui` prints: what a page shows → its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "analysis.ui", f"store={runs / 'mlflow.db'}", f"port={port}"]
    with (runs.parent / "ui.txt").open("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            for _ in range(600):
                try:
                    urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(0.1)
            lines = (runs.parent / "ui.txt").read_text().splitlines()
            assert "the sweep first:" in lines
            yield {line.rpartition("http")[0].strip(): "http" + line.rpartition("http")[2] for line in lines[2:]}
        finally:
            os.killpg(process.pid, 15)
            process.wait()
