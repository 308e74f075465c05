"""The local page's server: what it answers, what it refuses, and that it reads nothing but its training images."""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from ordinalclip.demo import address, demo, listen
from ordinalclip.errors import ConfigError
from ordinalclip.images.decoding import Limits
from ordinalclip.inference.model import RankModel
from ordinalclip.inference.predictions import Predictions
from ordinalclip.serving.demo_app import NUM_NEAREST, demo_app, demo_page, stamps
from ordinalclip.serving.training_images import TrainingImages, training_images
from tests.serving.made_model import made_model
from tests.trained import train

LIMITS = Limits(max_bytes=50_000, max_pixels=10_000)


def client(app: ASGIApp) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


GREY = encoded(Image.new("RGB", (20, 30), (128, 128, 128)))


@pytest.fixture
def images(tmp_path: Path) -> TrainingImages:
    """Twenty ranks, three images each, in a folder beside one with a secret."""
    root, secret = tmp_path / "data", tmp_path / "secret.png"
    (root / "photos").mkdir(parents=True)
    secret.write_bytes(GREY)
    paths, ranks = [], np.repeat(np.arange(20), 3)
    for number, rank in enumerate(ranks):
        paths.append(f"photos/{number}.png")
        Image.new("RGB", (400, 100), (rank * 10, 0, 0)).save(root / paths[-1])
    return TrainingImages(root, tuple(paths), ranks)


def test_the_reply_is_what_the_model_predicts(images: TrainingImages) -> None:
    model = made_model(20)
    reply = client(demo_app(model, images)).post("/predict", content=GREY)
    assert reply.status_code == 200
    content, expected = reply.json(), model.predict(GREY)
    assert content["rank"] == int(expected.rank[0]) == 10
    assert content["unit"] == "reading"
    assert content["expectation"] == pytest.approx(float(expected.expectation[0]))
    assert [one["prob"] for one in content["ranks"]] == pytest.approx(expected.probs[0].tolist())
    assert [(one["name"], one["value"]) for one in content["ranks"]] == [(str(n), float(n)) for n in range(20)]
    assert content["interval"] == {"lower": 9, "upper": 11, "coverage": 0.9}
    assert [one["rank"] for one in content["training"]][:3] == [10, 10, 10]
    assert len(content["training"]) == NUM_NEAREST == 8
    assert all(abs(one["rank"] - 10) <= 1 and one["there"] for one in content["training"])


def test_a_model_without_calibration_has_no_interval_and_an_export_no_training_images() -> None:
    content = client(demo_app(made_model(3, cls=RankModel))).post("/predict", content=GREY).json()
    assert content["interval"] is None
    assert content["no_interval"] == "nothing was calibrated for these ranks"
    assert content["training"] is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/", "/predict", "/training/0", "/nothing"])
def test_every_answer_has_strict_headers(method: str, path: str, images: TrainingImages) -> None:
    headers = client(demo_app(made_model(20), images)).request(method, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'self'; script-src 'sha256-")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in headers if name.startswith("access-control")]


def test_the_policy_allows_the_page_its_own_script_and_style_only() -> None:
    page = demo_page({"dataset": "<script>alert(1)</script>"}, made_model(5).ranks, 1, 1)
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.html, re.DOTALL)
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in page.policy
    assert "&lt;script&gt;alert(1)" in page.html
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", page.html)  # nothing from elsewhere
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page.html.partition("<script>")[0])  # the policy forbids them


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:7860", "[::1]"])
def test_the_names_of_this_machine_are_answered(host: str) -> None:
    assert client(demo_app(made_model(3))).get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example:7860", "", "[::1"]
)
def test_a_foreign_host_is_refused(host: str) -> None:
    reply = client(demo_app(made_model(3))).get("/", headers={"host": host})
    assert reply.status_code == 403
    assert "127.0.0.1" in reply.json()["error"]
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:7860", "https://127.0.0.1:7860"])
def test_another_pages_request_is_refused(origin: str) -> None:
    app = client(demo_app(made_model(3)))
    assert app.post("/predict", content=GREY, headers={"origin": origin}).status_code == 403
    assert app.post("/predict", content=GREY, headers={"origin": "http://127.0.0.1:7860"}).status_code == 200


def bomb() -> bytes:
    """A PNG of 100 bytes that says it has 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b"no image", "not an image of a supported format: JPEG"),
        (GREY[:60], "broken image"),
        (encoded(Image.effect_noise((60, 60), 50).convert("RGB"), "JPEG")[:-900], "broken image"),
        (encoded(Image.new("RGB", (101, 100))), "101 × 100 pixels"),
        (bomb(), ""),
        (POSTSCRIPT, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    ],
)
def test_what_is_no_image_is_told_in_words(body: bytes, told: str) -> None:
    reply = client(demo_app(made_model(3), limits=LIMITS)).post("/predict", content=body)
    assert reply.status_code == 400
    assert told in reply.json()["error"]
    assert list(reply.json()) == ["error"]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_the_usual_formats_are_read(format: str) -> None:
    grey = encoded(Image.new("RGB", (20, 30), (128, 128, 128)), format)
    assert client(demo_app(made_model(21))).post("/predict", content=grey).json()["rank"] == 10


def test_an_announced_or_an_endless_body_is_too_large() -> None:
    app = client(demo_app(made_model(3), limits=LIMITS))
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10_000_000:
            sent += 1000
            yield bytes(1000)

    assert app.post("/predict", content=endless()).status_code == 413
    reply = app.post("/predict", content=bytes(LIMITS.max_bytes + 1))
    assert reply.status_code == 413
    assert "MB" in reply.json()["error"]


def test_a_failing_model_is_told_and_the_page_lives_on() -> None:
    class Failing(RankModel):
        def predict(self, *_: object, **__: object) -> Predictions:
            raise RuntimeError("out of memory")

    app = client(demo_app(made_model(3, cls=Failing)))
    reply = app.post("/predict", content=GREY)
    assert (reply.status_code, reply.json()["error"][-13:]) == (500, "out of memory")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert app.get("/").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/training/0", 200),
        ("/training/59", 200),
        ("/training/60", 404),
        ("/training/-1", 404),
        ("/training/" + "9" * 5000, 404),
        ("/training/²", 404),
        ("/training/0.png", 404),
        ("/training/..%2f..%2fsecret.png", 404),
        ("/training/../../secret.png", 404),
        ("/training/%2fetc%2fpasswd", 404),
        ("/photos/0.png", 404),
        ("/docs", 404),
        ("/openapi.json", 404),
    ],
)
def test_training_images_go_by_number_only(path: str, status: int, images: TrainingImages) -> None:
    reply = client(demo_app(made_model(20), images)).get(path)
    assert reply.status_code == status
    if status == 200:
        assert reply.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(reply.content)).size == (224, 56)


def test_a_record_that_points_out_of_its_folder_is_not_followed(images: TrainingImages) -> None:
    (images.root / "link.png").symlink_to(images.root.parent / "secret.png")
    (images.root / "note.png").write_text("no image")
    paths = ("../secret.png", str(images.root.parent / "secret.png"), "link.png", "a\0b", "gone.png", "note.png")
    tampered = TrainingImages(images.root, paths, np.zeros(6, dtype=int))
    app = client(demo_app(made_model(20), tampered))
    assert {app.get(f"/training/{number}").status_code for number in range(6)} == {404}
    there = {one["number"]: one["there"] for one in app.post("/predict", content=GREY).json()["training"]}
    assert there == {0: False, 1: False, 2: False, 3: False, 4: False, 5: True}  # what is in it is seen when opened


def test_the_nearest_are_those_of_a_sort_by_distance() -> None:
    generator = np.random.default_rng(0)
    ranks = generator.integers(0, 12, 200)
    images = TrainingImages(Path("nowhere"), tuple(map(str, range(200))), ranks)
    for rank in range(12):
        for count in (1, 8, 40, 200, 300):
            chosen = images.nearest(rank, count)
            assert len(set(chosen)) == len(chosen) == min(count, 200)
            assert [abs(int(ranks[n]) - rank) for n in chosen] == sorted(abs(int(r) - rank) for r in ranks)[:count]


def test_of_many_at_the_same_rank_some_are_taken_from_first_to_last() -> None:
    images = TrainingImages(Path("nowhere"), tuple(map(str, range(100))), np.zeros(100, dtype=int))
    assert images.nearest(3, 4) == [0, 33, 66, 99]


def test_training_images_come_from_the_record(tmp_path: Path) -> None:
    assert training_images(tmp_path) is None
    table = pd.DataFrame({"path": ["a", "b", "c"], "rank": [2, 1, 0], "split": ["train", "test", "train"]})
    table.to_parquet(tmp_path / "manifest.parquet")
    (tmp_path / "provenance.json").write_text(json.dumps({"root": "/data/here"}))
    found = training_images(tmp_path)
    assert found is not None
    assert (found.root, found.paths, found.ranks.tolist()) == (Path("/data/here"), ("a", "c"), [2, 0])


def test_stamps() -> None:
    assert stamps({"dataset": "gauge"}) == []
    assert "selected on test" in stamps({"selected_on": "test"})[0]
    for name in ("heads", "synthetic_heads"):
        assert "SYNTHETIC" in stamps({"dataset": name})[0]
    page = demo_page({"dataset": "heads", "selected_on": "test"}, made_model(5).ranks, 1, 1).html
    assert page.count('class="stamp"') == 2


def test_a_taken_port_gives_the_next() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listen("localhost", port) as second:
            assert port < second.getsockname()[1] < port + 100
            assert second.getsockname()[0] == "127.0.0.1"
            assert address(second, "localhost") == f"http://localhost:{second.getsockname()[1]}/"


@pytest.mark.parametrize(
    "words", [[], ["run=x", "host=0.0.0.0"], ["run=x", "port=0x1"], ["run=x", "port=65536"], ["run=x", "share=true"]]
)
def test_words_that_cannot_be_used(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        demo(words)


@pytest.mark.slow
def test_a_run_is_served_until_ctrl_c(tmp_path: Path) -> None:
    """In a process of its own, by the command; the port that was asked for is taken."""
    run = train(tmp_path)
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    command = [sys.executable, "-m", "ordinalclip.demo", f"run={run.directory}", f"port={taken.getsockname()[1]}"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with taken, subprocess.Popen([*command, "device=cpu"], cwd=tmp_path, env=env, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines: list[str] = []
        while not (lines and "Ctrl-C" in lines[-1]):
            lines.append(process.stderr.readline().decode())
            assert lines[-1], lines
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", lines[-1])
        assert found, lines
        assert "is taken" in lines[-1]
        port = int(found[1])
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("POST", "/predict", body=GREY)
            reply = connection.getresponse()
            assert reply.status == 200
            assert "server" not in reply.headers
            content = json.loads(reply.read())
            assert sum(one["prob"] for one in content["ranks"]) == pytest.approx(1)
            connection.request("GET", f"/training/{content['training'][0]['number']}")
            assert connection.getresponse().read()[:2] == b"\xff\xd8"
        # A body that is only announced is refused before it is sent.
        with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
            raw.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n")
            assert raw.recv(12) == b"HTTP/1.1 413"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read().decode()
        assert process.wait(60) == 0, rest
        assert rest.strip() == "ended"
