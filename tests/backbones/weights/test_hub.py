import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ordinalclip.backbones.weights import find as weights
from ordinalclip.backbones.weights import hub
from ordinalclip.backbones.weights.hub import download
from ordinalclip.backbones.weights.published import Published
from ordinalclip.errors import ConfigError

CONTENT = bytes(range(256)) * 20
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Gives one file whole, or ends in the middle of it under another name."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if "broken" in self.path else CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_comes_whole(address: str, tmp_path: Path) -> None:
    assert download(f"{address}/w.pth", tmp_path / "new" / "w.pth", DIGEST[:8]) == ""
    assert (tmp_path / "new" / "w.pth").read_bytes() == CONTENT
    assert download(f"{address}/w.pth", tmp_path / "any.pth", "") == ""


@pytest.mark.parametrize(
    ("name", "sha256", "words"),
    [
        ("broken.pth", DIGEST, f"ended after {len(CONTENT) // 2} of {len(CONTENT)} bytes"),
        ("w.pth", "0" * 8, "is another file"),
        ("missing.pth", DIGEST, "404"),
    ],
)
def test_a_failed_download_leaves_nothing(address: str, tmp_path: Path, name: str, sha256: str, words: str) -> None:
    assert words in download(f"{address}/{name}", tmp_path / "w.pth", sha256)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ordinalclip.backbones.weights.hub._copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(f"{address}/w.pth", tmp_path / "w.pth", DIGEST)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.mark.usefixtures("online")
def test_torchvisions_weights_land_in_the_platforms_cache(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{address}/vgg16-{DIGEST[:8]}.pth"
    monkeypatch.setattr("ordinalclip.backbones.weights.published.torchvision_tags", lambda _: {"IMAGENET1K_V1": url})
    cfg = {"image_library": "torchvision", "image_model": "vgg16", "weights": {"image": "IMAGENET1K_V1"}}
    found = weights.find_weights(cfg, tmp_path)["image"]
    assert found.path == tmp_path / "torchvision" / f"vgg16-{DIGEST[:8]}.pth"
    assert found.sha256 == DIGEST
    url = f"{address}/vgg16-00000000.pth"
    with pytest.raises(ConfigError, match="is another file"):
        weights.find_weights(cfg, tmp_path)


@pytest.mark.usefixtures("online")
def test_the_hubs_weights_land_there_too(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    asked = []

    def hf_hub_download(repository: str, file: str, *, local_dir: Path, **_: object) -> str:
        asked.append((repository, file))
        local_dir.mkdir(parents=True)
        (local_dir / file).write_bytes(CONTENT)
        return str(local_dir / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    where = Published("timm", "net", "tag", repository="timm/net.tag", hub_files=("model.safetensors", "other"))
    found, problem = hub.fetch(where, tmp_path)
    assert (found, problem) == (tmp_path / "timm/net.tag/model.safetensors", "")
    assert asked == [("timm/net.tag", "model.safetensors")]
    assert hub.search(where, tmp_path)[0] == found


@pytest.mark.usefixtures("online")
def test_a_file_that_the_hub_does_not_give_may_be_at_an_address(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    def gone(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", gone)
    where = Published("open_clip", "RN50", "openai", f"{address}/RN50.pt", DIGEST, "timm/x", ("y",))
    assert hub.fetch(where, tmp_path) == (tmp_path / "clip/RN50.pt", "")
    (tmp_path / "clip/RN50.pt").unlink()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody's: the hub cannot be reached
    assert hub.fetch(where, tmp_path) == (tmp_path / "clip/RN50.pt", "")
    nowhere = replace(where, url=f"{address}/missing.pt")
    found, problem = hub.fetch(nowhere, tmp_path)
    assert found is None
    assert "the hub could not be reached; downloading" in problem
    assert "404" in problem
