"""The local page's server: the page, ranks of images that are sent to it, small pictures of training images."""

import logging
import threading
import time
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ordinalclip.errors import DataError
from ordinalclip.inference.model import RankModel
from ordinalclip.inference.predictions import Predictions, Ranks
from ordinalclip.inference.reading import Limits
from ordinalclip.serving.demo_page import demo_page
from ordinalclip.serving.guard import Guard
from ordinalclip.serving.request_body import TooLarge, read_body
from ordinalclip.serving.training_images import TrainingImages

log = logging.getLogger("ordinalclip")

LIMITS = Limits(max_bytes=32_000_000)
NUM_NEAREST = 8


def demo_app(model: RankModel, images: TrainingImages | None = None, limits: Limits = LIMITS) -> ASGIApp:
    """The server as an ASGI app.

        GET /               the page
        POST /predict       an image file as the body → see `answer`, and `no_interval`, why there is none, and
                            `seconds`; 400 for no image, 413 for too large a one
        GET /training/N     JPEG of training image number N; 404 where it is gone

    Failures are {"error": what is wrong}.

    Args:
        model: what predicts; one image at a time.
        images: its training images; None where they are not known.
        limits: what may be sent.
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
        told = {"no_interval": no_intervals, "seconds": time.perf_counter() - started}
        return answer(predictions, images) | told

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
            raise HTTPException(404, "there is no such training image")
        return Response(picture, media_type="image/jpeg")

    @app.exception_handler(DataError)
    def refused(request: Request, error: DataError) -> JSONResponse:
        told = str(error).removeprefix("image: ")
        return JSONResponse({"error": told}, status_code=413 if isinstance(error, TooLarge) else 400)

    @app.exception_handler(HTTPException)
    def not_served(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"the model failed, see the terminal: {error}"}, status_code=500)

    return Guard(app, page.policy)


def answer(predictions: Predictions, images: TrainingImages | None) -> dict[str, Any]:
    """What the page shows of one image.

    Returns:
        `rank`, `expectation`, `unit`, `readout`; `ranks`: {name, value, prob} of each; `interval`: {lower, upper
        (ranks), coverage} or null; `training`: {number, rank, there} of the nearest by rank, or null where they are not
        known.
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
