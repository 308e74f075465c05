"""Published weights on this machine, or fetched within a time that is bounded until a server answers."""

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from ordinalclip.backbones.download import download
from ordinalclip.backbones.published import Published

PATIENCE_SECONDS = 4.0  # for a server to answer at all; the download itself takes what it takes


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
