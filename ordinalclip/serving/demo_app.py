"""The demo: an ASGI app on loopback that serves one HTML page and predicts the images that it sends.

`Guard` refuses requests of other pages in the same browser, and sets strict security headers. The Content-Security-
Policy allows only the page's own script and style, by their hashes; nothing is loaded from other hosts.
"""

import base64
import hashlib
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ordinalclip.errors import DataError
from ordinalclip.images.decoding import FORMAT_NAMES, Limits
from ordinalclip.inference.model import RankModel
from ordinalclip.inference.predictions import Predictions, Ranks
from ordinalclip.serving.sent_images import TooLarge, read_body
from ordinalclip.serving.training_images import TrainingImages

HOSTS = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

_FACTS = {  # fact of the model → heading on the page
    "run": "run",
    "dataset": "data",
    "backbone": "image tower",
    "prompt": "prompt",
    "seed": "seed",
    "format": "format",
    "precision": "precision",
}
_ON_TEST = "selected on test: the run's epoch was chosen by its test scores, which are optimistic for other images"
_SYNTHETIC = "SYNTHETIC: trained on rendered heads; it does not predict the age of people"
_RENDERED = ("synthetic_heads", "heads")  # data sets of rendered heads; older runs use the second name
LIMITS = Limits(max_bytes=32_000_000)
NUM_NEAREST = 8


class Guard:
    """Middleware that checks Host and Origin, and adds security headers to every response, errors included.

    Another page in the same browser can also reach loopback: by a host name that resolves to it (DNS rebinding), which
    the Host header reveals, or by a cross-origin request, which the Origin header reveals.

    Args:
        app: The guarded app.
        policy: Content-Security-Policy of its responses.
    """

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self.app = app
        self.headers: Mapping[str, str] = {**_HEADERS, "content-security-policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles an HTTP request; other scopes are ignored."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in self.headers.items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        problem = refusal(Headers(scope=scope))
        answer = self.app if problem is None else JSONResponse({"error": problem}, status_code=403)
        await answer(scope, receive, send_with_headers)


def refusal(headers: Headers) -> str | None:
    """Returns why a request is refused; None if it is allowed."""
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or _name(hosts[0]) not in HOSTS:
        return f"this server is available only as {', '.join(HOSTS)}"
    if any(origin != f"http://{hosts[0]}" for origin in origins):
        return "cross-origin requests are refused"
    return None


def _name(host: str) -> str:
    """Returns the name in a Host header. The port is ignored, because ssh may forward another one."""
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    return host[:end].lower() if end > 0 else host.lower()


@dataclass(frozen=True)
class Page:
    """The HTML page and its Content-Security-Policy, which allows only the page's own script and style."""

    html: str
    policy: str


def demo_page(facts: Mapping[str, Any], ranks: Ranks, max_bytes: int, max_pixels: int) -> Page:
    """Renders the page for a model.

    Args:
        facts: Facts of the model.
        ranks: Ranks of the model.
        max_bytes: Maximum size of an uploaded file.
        max_pixels: Maximum number of pixels of an image.
    """
    from jinja2 import Environment, StrictUndefined

    template = files("ordinalclip.serving").joinpath("templates", "demo.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(template).render(
        name=facts.get("dataset") or "images",
        num_ranks=len(ranks.names),
        first=ranks.names[0],
        last=ranks.names[-1],
        unit=ranks.unit,
        readout=ranks.readout.replace("_", " "),
        facts=[(heading, facts[key]) for key, heading in _FACTS.items() if facts.get(key) is not None],
        stamps=stamps(facts),
        formats=FORMAT_NAMES,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
    )
    return Page(html, _policy(html))


def stamps(facts: Mapping[str, Any]) -> list[str]:
    """Returns the warnings that must be shown with a model's predictions."""
    on_test = [_ON_TEST] if facts.get("selected_on") == "test" else []
    return on_test + ([_SYNTHETIC] if facts.get("dataset") in _RENDERED else [])


def _policy(html: str) -> str:
    hashes = {tag: re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL) for tag in ("script", "style")}
    allowed = {tag: " ".join(f"'sha256-{_hash(text)}'" for text in found) for tag, found in hashes.items()}
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {allowed['script']}",
            f"style-src {allowed['style']}",
            "img-src 'self' blob: data:",  # blob: the preview of the uploaded image
            "connect-src 'self'",
            *(f"{kind} 'none'" for kind in ("object-src", "base-uri", "form-action", "frame-ancestors")),
        ]
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def demo_app(model: RankModel, images: TrainingImages | None = None, limits: Limits = LIMITS) -> ASGIApp:
    """Returns the server as an ASGI app.

        GET /               the page
        POST /predict       body: an image file; response: see `answer`, with `no_interval`, why there is no interval,
                            and `seconds`; status 400 if the body is no image, 413 if it is too large
        GET /training/N     JPEG thumbnail of training image N; status 404 if it is missing

    The body of an error is {"error": message}.

    Args:
        model: Model that predicts one image at a time.
        images: Its training images; None if unknown.
        limits: Limits of uploaded images.
    """
    model = replace(model, limits=limits)
    page = demo_page(model.facts, model.ranks, limits.max_bytes, limits.max_pixels)
    no_intervals = model.no_intervals()
    one_at_a_time = threading.Lock()
    app = FastAPI(title="OrdinalCLIP", docs_url=None, redoc_url=None, openapi_url=None)

    def work(data: bytes) -> dict[str, Any]:
        started = time.perf_counter()
        with one_at_a_time:
            predictions = model.predict(data, batch_size=1)
        status = {"no_interval": no_intervals, "seconds": time.perf_counter() - started}
        return answer(predictions, images) | status

    @app.get("/")
    def show() -> HTMLResponse:
        return HTMLResponse(page.html)

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        data = await read_body(request, limits.max_bytes)
        return JSONResponse(await run_in_threadpool(work, data))

    @app.get("/training/{number}")
    def training(number: str) -> Response:
        known = images is not None and number.isdecimal() and len(number) < 12
        picture = images.thumbnail(int(number)) if known and images is not None else None
        if picture is None:
            raise HTTPException(404, "training image not found")
        return Response(picture, media_type="image/jpeg")

    @app.exception_handler(DataError)
    def refused(request: Request, error: DataError) -> JSONResponse:
        message = str(error).removeprefix("image: ")
        return JSONResponse({"error": message}, status_code=413 if isinstance(error, TooLarge) else 400)

    @app.exception_handler(HTTPException)
    def not_served(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"the model failed, see the terminal: {error}"}, status_code=500)

    return Guard(app, page.policy)


def answer(predictions: Predictions, images: TrainingImages | None) -> dict[str, Any]:
    """Returns the prediction of one image as JSON data for the page.

    Returns:
        `rank`, `expectation`, `unit`, `readout`; `ranks`: {name, value, prob} of each; `interval`: {lower, upper
        (ranks), coverage} or null; `training`: {number, rank, there} of the nearest images by rank, or null if unknown.
    """
    ranks: Ranks = predictions.ranks
    rank, coverage = int(predictions.rank[0]), predictions.coverage
    interval = {
        "lower": int(predictions.lower_rank[0]),
        "upper": int(predictions.upper_rank[0]),
        "coverage": coverage,
    }
    scale = zip(ranks.names, ranks.scale, predictions.probs[0].tolist(), strict=True)
    return {
        "rank": rank,
        "expectation": float(predictions.expectation[0]),
        "unit": ranks.unit,
        "readout": ranks.readout.replace("_", " "),
        "ranks": [{"name": name, "value": value, "prob": prob} for name, value, prob in scale],
        "interval": None if coverage is None else interval,
        "training": None if images is None else _nearest(images, rank),
    }


def _nearest(images: TrainingImages, rank: int) -> list[dict[str, Any]]:
    numbers = images.nearest(rank, NUM_NEAREST)
    return [
        {"number": number, "rank": int(images.ranks[number]), "there": images.file(number) is not None}
        for number in numbers
    ]
