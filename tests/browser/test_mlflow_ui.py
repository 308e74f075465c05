"""The pages whose addresses `make ui` prints, as a user meets them. Screenshots are kept in .cache/screenshots."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.runs.run import Run, find_runs

SCREENSHOTS = Path(".cache/screenshots")
Open = Callable[[str, str], Any]


@pytest.fixture
def open_page(browser: Any, server: dict[str, str]) -> Any:
    """`open_page("runs", "name")` → the page of that address; its picture is kept when the test is over."""
    context = browser.new_context(viewport={"width": 1500, "height": 720})
    context.add_init_script("localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')")
    warm = context.new_page()  # MLflow's assistant opens by itself on the first page, and covers a quarter of it
    warm.goto(server["runs"])
    warm.get_by_text("MLflow Assistant").first.wait_for(timeout=30_000)
    warm.close()
    opened: list[tuple[Any, str]] = []
    foreign: list[str] = []

    def open_one(what: str, name: str) -> Any:
        page = context.new_page()
        page.on("request", lambda asked: foreign.append(asked.url) if "127.0.0.1" not in asked.url else None)
        page.goto(server.get(what, what))
        opened.append((page, name))
        return page

    yield open_one
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for page, name in opened:
        page.wait_for_timeout(1500)  # charts move into their places
        page.screenshot(path=str(SCREENSHOTS / f"{name}.png"))
    context.close()
    assert [url for url in foreign if not url.startswith(("data:", "blob:"))] == []


def scores(runs: Path) -> dict[str, tuple[Run, float, float]]:
    """Name of a run → test MAE, ordinality."""
    found = {}
    for run in find_runs(runs):
        last = {name: value for line in run.metrics() for name, value in line["values"].items()}
        found[run.directory.name] = (run, last["test/mae"], last["ordinality"])
    assert len(found) == 4
    return found


def cells(page: Any, column: str) -> list[str]:
    """Texts of a column of MLflow's table."""
    found = page.locator(f'[role="gridcell"][col-id*="{column}"]')
    found.first.wait_for(timeout=30_000)
    return [text.strip() for text in found.all_inner_texts()]


def starts(text: str) -> float:
    """A number that the table may have cut off."""
    return float(text.removesuffix("…").split()[0].removesuffix("..."))


def test_the_table_shows_error_and_ordinality_of_every_run(open_page: Open, runs: Path) -> None:
    page = open_page("runs", "table")
    wanted = scores(runs)
    assert sorted(map(starts, cells(page, "test/mae"))) == pytest.approx(
        sorted(mae for _, mae, _ in wanted.values()), abs=1e-4
    )
    assert sorted(map(starts, cells(page, "ordinality"))) == pytest.approx(
        sorted(score for _, _, score in wanted.values()), abs=1e-4
    )
    assert sorted(cells(page, "params.`prompt`")) == ["context", "context", "rank", "rank"]


def test_runs_that_differ_in_their_seed_stand_together_with_their_mean(open_page: Open, runs: Path) -> None:
    page = open_page("means over seeds and folds", "groups")
    page.get_by_text("Group: rank").wait_for(timeout=30_000)
    by_prompt = [
        [mae for name, (_, mae, _) in scores(runs).items() if f"-{prompt}-" in name] for prompt in ("rank", "context")
    ]
    shown = list(map(starts, cells(page, "test/mae")))
    for errors in by_prompt:
        assert any(abs(value - sum(errors) / 2) < 1e-4 for value in shown)
    picture = os.environ.get("ORDINALCLIP_PICTURE")
    if picture is not None:
        page.wait_for_timeout(2000)
        page.screenshot(path=picture)


def test_charts_show_parallel_coordinates_and_heat_maps_side_by_side(open_page: Open) -> None:
    page = open_page("charts, and how order emerges", "charts")
    page.set_viewport_size({"width": 1500, "height": 1500})
    page.get_by_text("Parallel Coordinates").first.wait_for(timeout=30_000)
    for name in ("test/mae", "val/mae", "ordinality"):
        page.get_by_text(name, exact=True).first.wait_for(timeout=30_000)
    images = page.locator('img[src*="similarity"], img[src^="blob:"]')
    images.nth(3).wait_for(timeout=30_000)


def test_the_comparison_names_every_run(open_page: Open, runs: Path) -> None:
    page = open_page("comparison", "comparison")
    page.get_by_text("Comparing 4 Runs from 1 Experiment").wait_for(timeout=30_000)
    for name in scores(runs):
        assert page.get_by_text(name, exact=True).count() > 0
