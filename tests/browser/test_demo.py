"""The local page in headless Chromium: an image in, its rank and all probabilities out, and nothing leaves loopback.

Pictures of it are kept in the folder that ORDINALCLIP_SCREENSHOTS names.
"""

import base64
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from ordinalclip.demo import address, listen
from ordinalclip.inference.model import RankModel
from ordinalclip.serving.demo_app import demo_app
from ordinalclip.serving.training_images import TrainingImages
from tests.serving.made_model import made_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

GRADES = ("no defect at all", "a defect is improbable", "a defect is probable", "certainly defective")
Serve = Callable[[ASGIApp], str]
Visit = Callable[..., "Page"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves an app from a thread, gives its address."""
    with ExitStack() as stack:

        def start(app: ASGIApp) -> str:
            bound = stack.enter_context(listen("127.0.0.1", 0))
            config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=3)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
            thread.start()

            def end() -> None:
                server.should_exit = True
                thread.join(30)

            stack.callback(end)
            return address(bound, "127.0.0.1")

        yield start


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Visit]:
    """Opens a page; whatever it asks of others, and whatever it complains of, fails the test."""
    asked: list[str] = []
    wrong: list[str] = []
    with ExitStack() as stack:

        def open_page(url: str, **how: Any) -> "Page":
            context = browser.new_context(**how)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
            page.goto(url)
            return page

        yield open_page
    assert asked
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))] == []
    assert [text for text in wrong if "status of 4" not in text] == []


def made_images(tmp_path: Path, num_ranks: int) -> TrainingImages:
    ranks = np.repeat(np.arange(num_ranks), 3)
    for number, rank in enumerate(ranks):
        if number % 7:  # the others are gone
            Image.new("RGB", (64, 64), (int(250 * rank / num_ranks), 60, 90)).save(tmp_path / f"{number}.png")
    return TrainingImages(tmp_path, tuple(f"{number}.png" for number in range(len(ranks))), ranks)


def photo(grey: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((90, 120, 3), grey, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def send(page: "Page", data: bytes, name: str = "photo.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": data})


def wait_for(page: "Page", condition: str) -> None:
    """Playwright's own waiting evaluates words within the page, which its policy forbids."""
    for _ in range(300):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise TimeoutError(condition)


def keep(page: "Page", name: str) -> None:
    folder = os.environ.get("ORDINALCLIP_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def check_shown(page: "Page", model: RankModel, data: bytes) -> None:
    """What the page shows is what the model says."""
    expected = model.predict(data)
    names, rank, probs = model.ranks.names, int(expected.rank[0]), expected.probs[0]
    wait_for(page, f"document.querySelector('#status').textContent.includes('rank {names[rank]}')")
    assert page.inner_text("#rank") == names[rank]
    interval = f"Interval: {names[expected.lower_rank[0]]} to {names[expected.upper_rank[0]]}"
    assert page.inner_text("#interval").startswith(interval)
    assert "90 % of images" in page.inner_text("#interval")
    page.click("summary")
    shown = page.eval_on_selector_all("#rows [data-prob]", "cells => cells.map(cell => Number(cell.dataset.prob))")
    assert shown == pytest.approx(probs.tolist())
    assert page.locator("#rows tr.rank").inner_text().startswith(names[rank])
    bars = page.eval_on_selector_all(
        "#plot .bar", "bars => bars.map(bar => [+bar.getAttribute('width'), +bar.getAttribute('height')])"
    )
    lengths = np.array(bars)
    lengths = lengths[:, 0] if np.ptp(lengths[:, 1]) == 0 else lengths[:, 1]
    assert len(lengths) == len(names)
    np.testing.assert_allclose(lengths / lengths.max(), probs / probs.max(), atol=0.01)
    assert page.locator("#plot .bar.rank").count() == 1
    inside = sum(int(expected.lower_rank[0]) <= other <= int(expected.upper_rank[0]) for other in range(len(names)))
    assert page.locator("#plot .bar.in").count() == inside - 1
    page.click("summary")


@pytest.mark.parametrize("width", [360, 1100])
@pytest.mark.parametrize("num_ranks", [2, 5, 101])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_rank_and_probabilities_are_shown(
    num_ranks: int, width: int, scheme: str, serve: Serve, visit: Visit, tmp_path: Path
) -> None:
    model = made_model(num_ranks)
    how = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    page = visit(serve(demo_app(model, made_images(tmp_path, num_ranks))), **how)
    send(page, photo(100))
    check_shown(page, model, photo(100))
    wait_for(page, "[...document.querySelectorAll('#training img')].every(image => image.naturalWidth > 0)")
    assert page.locator("#training li").count() == min(8, 3 * num_ranks)
    assert page.locator("#training .gone").count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing to scroll sideways
    keep(page, f"demo-{num_ranks}-{width}-{scheme}")


@pytest.mark.parametrize("width", [360, 1100])
def test_long_names_stand_beside_their_bars(width: int, serve: Serve, visit: Visit) -> None:
    model = made_model(4, names=GRADES, unit="grade")
    page = visit(serve(demo_app(model)), viewport={"width": width, "height": 800})
    send(page, photo(100))
    check_shown(page, model, photo(100))
    labels = page.eval_on_selector_all("#plot text", "texts => texts.map(text => text.textContent)")
    assert all(any(name in label for label in labels) for name in GRADES)
    boxes = page.eval_on_selector_all(
        "#plot text", "texts => texts.map(text => text.getBBox()).map(box => [box.x, box.x + box.width])"
    )
    assert min(left for left, _ in boxes) >= 0
    assert max(right for _, right in boxes) <= page.evaluate("document.querySelector('#plot svg').clientWidth")
    assert "exported model" in page.inner_text("#training-note")
    keep(page, f"demo-names-{width}")


def test_what_cannot_be_used_is_told_and_the_next_image_works(serve: Serve, visit: Visit) -> None:
    model = made_model(5)
    page = visit(serve(demo_app(model)))
    send(page, b"no image")
    page.wait_for_selector("#status.wrong")
    assert "photo.png cannot be used: not an image of a supported format" in page.inner_text("#status")
    assert page.locator("#answer").is_hidden()
    page.evaluate("document.querySelector('#main').dataset.maxBytes = 10")
    send(page, photo(100))
    wait_for(page, "document.querySelector('#status').textContent.includes('larger than')")
    page.evaluate("document.querySelector('#main').dataset.maxBytes = 1e6")
    send(page, photo(200))
    check_shown(page, model, photo(200))
    assert page.locator("#status.wrong").count() == 0


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(way: str, serve: Serve, visit: Visit) -> None:
    model = made_model(5)
    page = visit(serve(demo_app(model)))
    page.evaluate(
        """([way, text]) => {
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0)), moved = new DataTransfer();
            moved.items.add(new File([bytes], "moved.png", { type: "image/png" }));
            document.body.dispatchEvent(way === "drop" ? new DragEvent("drop", { dataTransfer: moved, bubbles: true })
                : new ClipboardEvent("paste", { clipboardData: moved, bubbles: true }));
        }""",
        [way, base64.b64encode(photo(30)).decode()],
    )
    check_shown(page, model, photo(30))
    assert "moved.png" in page.inner_text("#status")


def test_it_is_used_from_the_keyboard(serve: Serve, visit: Visit) -> None:
    page = visit(serve(demo_app(made_model(5))))
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.reload()  # Playwright does not wait until it gets choosers; one that opens sooner, Chromium cancels
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Enter")
    for _ in range(100):
        if choosers:
            break
        page.wait_for_timeout(50)
    (chosen,) = choosers
    chosen.set_files({"name": "key.png", "mimeType": "image/png", "buffer": photo(250)})
    page.wait_for_selector("#answer:not([hidden])")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1
