"""Tokenizers that open_clip models take from the Hugging Face hub: which, and where they are. Imports no torch.

A text encoder of Hugging Face's also needs its `config.json`, which lies in the same repository.
"""

import hashlib
import shutil
from pathlib import Path

from ordinalclip.backbones.weights.hub import fetch_folder
from ordinalclip.backbones.weights.tables import text_config
from ordinalclip.errors import ConfigError
from ordinalclip.system.checksums import cached_sha256

# What vocabularies are stored as, best first.
VOCABULARIES = ("tokenizer.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "vocab.txt")
PATTERNS = ("*.json", "*.model", "vocab.txt")
_KEY = "backbone.tokenizer"


def tokenizer_repository(model: str) -> str | None:
    """The hub's repository that an open_clip model's tokenizer is in; None where it is CLIP's, which needs no files."""
    name = text_config(model).get("hf_tokenizer_name")
    return str(name) if name else None


def find_tokenizer(model: str, folder: str | None, cache_dir: Path, download: bool) -> Path | None:
    """The folder of a model's tokenizer; None where it is CLIP's.

    Looked for in `folder`, else in `<cache_dir>/clip/<repository's name>` and the hub's cache; then it is downloaded.

    Args:
        model: open_clip's name.
        folder: of the user's; None looks in the usual places.
        cache_dir: the platform's cache.
        download: whether to try.

    Raises:
        ConfigError: naming the tokenizer, where it was looked for, and what to do.
    """
    repository = tokenizer_repository(model)
    if repository is None:
        if folder is not None:
            raise ConfigError(_KEY, folder, f"{model} reads CLIP's own words", allowed="null")
        return None
    needed = ["config.json"] if text_config(model).get("hf_model_name") else []
    target = cache_dir / "clip" / repository.rpartition("/")[2]
    if folder is not None:
        own = Path(folder).expanduser()
        if not _complete(own, needed):
            raise ConfigError(_KEY, folder, f"this folder {_lacks(own, needed)}", allowed=f"the files of {repository}")
        return own
    cached = _in_hub_cache(repository)
    looked = [target, *([] if cached is None else [cached])]
    found = next((place for place in looked if _complete(place, needed)), None)
    if found is not None:
        return found
    fetched, problem = fetch_folder(repository, PATTERNS, target) if download else (None, "not on this machine")
    if fetched is not None and _complete(fetched, needed):
        return fetched
    from huggingface_hub import constants

    if fetched is not None:
        problem = f"what the hub has of it {_lacks(fetched, needed)}"
    where = f"{target}, {Path(constants.HF_HUB_CACHE) / _cache_name(repository)}"
    patterns = " ".join(f'--include "{pattern}"' for pattern in PATTERNS)
    raise ConfigError(
        _KEY,
        "null",
        f"the tokenizer of {model}, {repository} ({problem}); looked for {where}",
        allowed=f"null, or a folder with its {', '.join(['tokenizer.json', *needed])}",
        remedy=f"on a machine with internet `hf download {repository} {patterns} --local-dir {target}`, then copy that"
        " folder here",
    )


def copy_tokenizer(folder: Path, target: Path) -> None:
    """Copies the files of a tokenizer, and a text encoder's settings beside them, into a new folder."""
    target.mkdir()
    for file in (file for pattern in PATTERNS for file in folder.glob(pattern)):
        shutil.copyfile(file, target / file.name)


def tokenizer_hash(folder: Path, cache_dir: Path) -> str:
    """SHA-256 of what decides how a folder's tokenizer reads, and of a text encoder's settings beside it."""
    names = [_vocabulary(folder), "tokenizer_config.json", "config.json"]
    digests = [
        cached_sha256(folder / name, cache_dir) for name in names if name is not None and (folder / name).is_file()
    ]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _vocabulary(folder: Path) -> str | None:
    return next((name for name in VOCABULARIES if (folder / name).is_file()), None)


def _complete(folder: Path, needed: list[str]) -> bool:
    return _vocabulary(folder) is not None and all((folder / name).is_file() for name in needed)


def _lacks(folder: Path, needed: list[str]) -> str:
    missing = [name for name in needed if not (folder / name).is_file()]
    if _vocabulary(folder) is None:
        missing.insert(0, f"vocabulary ({', '.join(VOCABULARIES)})")
    return f"has no {' and no '.join(missing)}"


def _cache_name(repository: str) -> str:
    return f"models--{repository.replace('/', '--')}"


def _in_hub_cache(repository: str) -> Path | None:
    """The folder of the newest revision in the hub's cache that has a vocabulary."""
    from huggingface_hub import try_to_load_from_cache

    for name in VOCABULARIES:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached).parent
    return None
