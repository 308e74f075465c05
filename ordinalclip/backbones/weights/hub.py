"""Published weights on this machine or from the Hugging Face hub: searched, downloaded, verified.

A download ends up whole and with the right SHA-256, or not at all. The time until a server answers is bounded. The
expected SHA-256 is what the hub's library, or this module, stored beside the file.
"""

import hashlib
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ordinalclip.backbones.weights.published import Published
from ordinalclip.system.files import write_atomically
from ordinalclip.system.terminal import progress

_BLOCK = 1 << 20
_SILENCE_SECONDS = 30.0  # that a server may take between two blocks

_SHA256 = re.compile(r"[0-9a-f]{64}")
PATIENCE_SECONDS = 4.0  # for a server to answer at all; the download itself takes what it takes


def download(url: str, target: Path, sha256: str) -> str:
    """Fetches a file.

    Args:
        url: its address.
        target: where the finished file shall be.
        sha256: what its SHA-256 begins with; "" is not known.

    Returns:
        "", or why there is no file, as a clause.
    """

    def fill(part: Path) -> None:
        with urllib.request.urlopen(url, timeout=_SILENCE_SECONDS) as response, part.open("wb") as file:
            _copy(response, file, target.name, sha256)

    try:
        write_atomically(target, fill)
    except (OSError, ValueError) as error:  # urllib's and http's errors are among them
        reason = str(error).strip() or type(error).__name__
        return f"downloading {url} failed: {reason}"
    return ""


def _copy(response: Any, file: Any, name: str, sha256: str) -> None:
    expected = int(response.headers.get("Content-Length", 0))
    digest, size = hashlib.sha256(), 0
    with progress(name, expected, "B", unit_scale=True, unit_divisor=1000) as bar:
        while block := response.read(_BLOCK):
            file.write(block)
            digest.update(block)
            size += len(block)
            bar.update(len(block))
    if expected not in (0, size):
        raise ValueError(f"the connection ended after {size} of {expected} bytes")
    if not digest.hexdigest().startswith(sha256):
        raise ValueError(f"what came is another file: its SHA-256 is {digest.hexdigest()[:12]}…, not {sha256[:12]}…")


def hub_sha256(file: Path) -> str:
    """The SHA-256 that a file of weights had on the hub, or "" if it is not known.

    A file that was gathered from the hub's cache has it in `<file>.sha256`, as `sha256sum` writes it. Large files are
    named by it in the hub's cache (`blobs/<SHA-256>`, which `snapshots/…` link to); of a file that was fetched into a
    folder, `.cache/huggingface/download/<file>.metadata` holds it in its second line, the ETag. Small files have a hash
    of another kind there.

    Args:
        file: as it was found.
    """
    blob = file.resolve()
    if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
        return blob.name
    own = _words(note_of(file))
    if own and _SHA256.fullmatch(own[0]):
        return own[0]
    metadata = _words(file.parent / ".cache" / "huggingface" / "download" / f"{file.name}.metadata")
    etag = metadata[1] if len(metadata) > 1 else ""
    return etag if _SHA256.fullmatch(etag) else ""


def note_of(file: Path) -> Path:
    """Where the SHA-256 of a gathered file is written down."""
    return file.with_name(f"{file.name}.sha256")


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []


def search(where: Published, cache_dir: Path) -> tuple[Path | None, list[Path]]:
    """The file of published weights on this machine, and every place that was looked at.

    Args:
        where: from `published_weights`.
        cache_dir: the platform's cache, which is looked at first.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    candidates = where.places(cache_dir)
    for path in candidates:
        if path.is_file():
            return path, candidates
    if where.repository:
        candidates.append(Path(constants.HF_HUB_CACHE) / f"models--{where.repository.replace('/', '--')}")
        for file in where.hub_files:
            cached = try_to_load_from_cache(where.repository, file)
            if isinstance(cached, str):
                return Path(cached), candidates
    return None, candidates


def fetch(where: Published, cache_dir: Path) -> tuple[Path | None, str]:
    """Downloads published weights into the platform's cache, from the hub where that has them, else from their address.

    Args:
        where: from `published_weights`.
        cache_dir: the platform's cache.

    Returns:
        The file, or None and why there is none, as a clause.
    """
    from huggingface_hub import constants

    problems = []
    if where.repository:
        problem = _unreachable(constants.ENDPOINT, "the hub")
        if not problem:
            found, problem = _from_hub(where, cache_dir)
            if found is not None:
                return found, ""
        problems.append(problem)
    if where.url:
        target = where.folder(cache_dir) / where.url_file
        problem = _unreachable(where.url, where.url) or download(where.url, target, where.sha256)
        if not problem:
            return target, ""
        problems.append(problem)
    return None, "; ".join(dict.fromkeys(problems)) or "not on this machine, and published nowhere"


def fetch_folder(repository: str, patterns: Sequence[str], target: Path) -> tuple[Path | None, str]:
    """Downloads the files of a repository that fit any of the patterns.

    Args:
        repository: on the hub.
        patterns: of file names.
        target: the folder that they go to.

    Returns:
        Their folder, or None and why there is none, as a clause.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    problem = _unreachable(constants.ENDPOINT, "the hub")
    if problem:
        return None, problem
    try:
        got = snapshot_download(
            repository, allow_patterns=list(patterns), local_dir=target, etag_timeout=PATIENCE_SECONDS
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        return None, f"downloading failed: {type(error).__name__}"
    return Path(got), ""


def _from_hub(where: Published, cache_dir: Path) -> tuple[Path | None, str]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    folder = where.folder(cache_dir) / where.repository_name
    for file in where.hub_files:
        try:
            # Into a folder of ours, so that one folder is all there is to copy to machines without internet.
            found = hf_hub_download(where.repository, file, local_dir=folder, etag_timeout=PATIENCE_SECONDS)
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError, ValueError) as error:
            return None, f"downloading from the hub failed: {type(error).__name__}"
        return Path(found), ""
    return None, "the hub has no such file"


def _unreachable(url: str, name: str) -> str:
    """Why nothing can be downloaded, as a clause, or ""."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return "not on this machine, and HF_HUB_OFFLINE is set"
    if not _answers(url):
        return f"not on this machine, and {name} could not be reached"
    return ""


def _answers(url: str) -> bool:
    """Whether a server answers in time; in a thread, since looking up its name has no time limit of its own."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE_SECONDS).close()
            answered.set()
        except urllib.error.HTTPError:  # an answer all the same
            answered.set()
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return answered.is_set()
