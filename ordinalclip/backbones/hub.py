"""Published weights on this machine, or fetched from the Hugging Face hub within a time that is bounded."""

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from ordinalclip.backbones.openclip_table import Pretrained

PATIENCE_SECONDS = 4.0  # for the hub to answer at all; the download itself takes what it takes


def search(where: Pretrained, model: str, tag: str, cache_dir: Path) -> tuple[Path | None, list[Path]]:
    """The file of published weights on this machine, and every place that was looked at.

    Args:
        where: from `openclip_table.pretrained_tags`.
        model: open_clip's name.
        tag: the weights' name.
        cache_dir: the platform's cache; `clip/` in it is looked at first.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    clip = cache_dir / "clip"
    candidates = [clip / where.url_file, Path("~/.cache/clip").expanduser() / where.url_file] if where.url else []
    name = where.repository.rpartition("/")[2]
    candidates += [clip / name / file for file in where.hub_files] if name else []
    candidates.append(clip / f"{model}-{tag}.safetensors")
    for path in candidates:
        if path.is_file():
            return path, candidates
    if name:
        candidates.append(Path(constants.HF_HUB_CACHE) / f"models--{where.repository.replace('/', '--')}")
        for file in where.hub_files:
            cached = try_to_load_from_cache(where.repository, file)
            if isinstance(cached, str):
                return Path(cached), candidates
    return None, candidates


def fetch(where: Pretrained) -> tuple[Path | None, str]:
    """Downloads published weights into the hub's cache.

    Returns:
        The file, or None and why there is none, as a clause.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    if not where.repository:
        return None, "not on this machine, and not on the hub"
    problem = _unreachable()
    if problem:
        return None, problem
    problem = "the hub has no such file"
    for file in where.hub_files:
        try:
            return Path(hf_hub_download(where.repository, file, etag_timeout=PATIENCE_SECONDS)), ""
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError, ValueError) as error:
            problem = f"downloading failed: {type(error).__name__}"
            break
    return None, problem


def fetch_folder(repository: str, patterns: Sequence[str]) -> tuple[Path | None, str]:
    """Downloads the files of a repository that fit any of the patterns into the hub's cache.

    Returns:
        Their folder, or None and why there is none, as a clause.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    problem = _unreachable()
    if problem:
        return None, problem
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns), etag_timeout=PATIENCE_SECONDS)), ""
    except (HfHubHTTPError, OSError, ValueError) as error:
        return None, f"downloading failed: {type(error).__name__}"


def _unreachable() -> str:
    """Why nothing can be downloaded, as a clause, or ""."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return "not on this machine, and HF_HUB_OFFLINE is set"
    if not _answers(constants.ENDPOINT):
        return f"not on this machine, and the hub did not answer within {PATIENCE_SECONDS:g} s"
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
