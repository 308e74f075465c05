"""Which weight files a backbone needs, where they are, and their SHA-256. Imports no torch: it runs before any work.

`find_weights` looks in the cache, in packages and on the hub. `gather` copies published weights into the platform's
cache, so that copying one folder takes them to a machine without internet.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ordinalclip.backbones.weights.hub import fetch, hub_sha256, note_of, search
from ordinalclip.backbones.weights.paths import OR_RANDOM, is_torchscript, names_a_path, resolve
from ordinalclip.backbones.weights.published import Owner, Published, check_origin, check_tag, owners_of
from ordinalclip.backbones.weights.tokenizers import find_tokenizer, tokenizer_hash
from ordinalclip.errors import ConfigError
from ordinalclip.system.checksums import cached_sha256
from ordinalclip.system.files import write_atomically

__all__ = ["RANDOM", "WeightFile", "find_weights", "is_torchscript", "names_a_path", "resolve"]

RANDOM = "random"


@dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        source: as the configuration has it: `package:…`, a tag, a path or `random`.
        path: the file; None is random weights.
        sha256: of the file; `random` for random weights.
    """

    source: str
    path: Path | None
    sha256: str


def find_weights(backbone_cfg: Mapping[str, Any], cache_dir: Path, *, download: bool = True) -> dict[str, WeightFile]:
    """Finds the files that `backbone.weights` names, and those of a tokenizer that is not CLIP's.

    A tag's weights are looked for in the platform's cache (`clip/`, `torchvision/`, `timm/`) and where their library
    keeps its own; then they are downloaded, unless `HF_HUB_OFFLINE` is set or no server answers within seconds.

    Args:
        backbone_cfg: the backbone's yaml; see `owners_of` for whose weights its tags are.
        cache_dir: the platform's cache.
        download: whether to try.

    Returns:
        Part → file. A single string in the configuration is the part "all"; the part "tokenizer" of an open_clip model
        is a folder.

    Raises:
        ConfigError: naming the setting, where it was looked, and what to do.
    """
    owners = owners_of(backbone_cfg)
    for owner in owners.values():
        owner.check()
    weights = backbone_cfg["weights"]
    sources = {str(p): str(s) for p, s in weights.items()} if isinstance(weights, Mapping) else {"all": str(weights)}
    _check_parts(sources, list(owners))
    found = {}
    for part, source in sources.items():
        key = f"backbone.weights.{part}" if isinstance(weights, Mapping) else "backbone.weights"
        path = _find(source, key, owners.get(part), cache_dir, download)
        found[part] = WeightFile(source, path, RANDOM if path is None else cached_sha256(path, cache_dir))
    reader = backbone_cfg.get("text_model", backbone_cfg.get("model"))
    folder = None if reader is None else find_tokenizer(reader, backbone_cfg.get("tokenizer"), cache_dir, download)
    if folder is not None:
        found["tokenizer"] = WeightFile(str(folder), folder, tokenizer_hash(folder, cache_dir))
    return found


def _check_parts(sources: Mapping[str, str], parts: list[str]) -> None:
    """Checks that every part has a source; a backbone without published weights checks its own parts."""
    if not parts or set(sources) == set(parts) or sources == {"all": RANDOM}:
        return
    words = ", ".join(f"{part}: …" for part in parts)
    if "all" in parts:
        allowed = "one tag, path or random: both towers are in one file"
        raise ConfigError("backbone.weights", dict(sources), "are several files", allowed=allowed)
    if "all" in sources:
        problem = "the towers are of two files; one for both can only be random"
        raise ConfigError("backbone.weights", sources["all"], problem, allowed=f"{RANDOM}, or {{{words}}}")
    for part in sources.keys() - set(parts):
        raise ConfigError(f"backbone.weights.{part}", sources[part], "there is no such part", allowed=", ".join(parts))
    for part in set(parts) - sources.keys():
        raise ConfigError(f"backbone.weights.{part}", "null", "is missing", allowed=f"a tag, a path, {RANDOM}")


def _find(source: str, key: str, owner: Owner | None, cache_dir: Path, download: bool) -> Path | None:
    if owner is None:
        return None if source == RANDOM else resolve(source, key)
    published = owner.published()
    if source in published:
        return _find_published(published[source], key, cache_dir, download)
    if source == RANDOM:
        if owner.tag not in (None, "config"):  # it decides the activation and how images are prepared
            check_tag(owner, str(owner.tag), owner.tag_key, ", ".join(published))
        return None
    if not names_a_path(source):
        check_tag(owner, source, key, f"{', '.join(published)}{', ' if published else ''}a path, {RANDOM}")
    path = resolve(source, key)
    if owner.library == "open_clip":
        check_origin(owner, path)
    elif owner.tag is not None:
        check_tag(owner, owner.tag, owner.tag_key, ", ".join(published))
    return path


def _find_published(where: Published, key: str, cache_dir: Path, download: bool) -> Path:
    found, looked = search(where, cache_dir)
    problem = "weights are not on this machine"
    if found is None and download:
        found, problem = fetch(where, cache_dir)
    if found is None:
        looked_in = ", ".join(str(path) for path in looked)
        raise ConfigError(
            key,
            where.tag,
            f"the weights of {where.model} ({problem}); looked for {looked_in}",
            remedy=f"on a machine with internet `make weights` with these settings of backbone, or "
            f"`{where.command(cache_dir)}`, then copy {where.folder(cache_dir)} here; {OR_RANDOM}",
        )
    expected = where.sha256 if found.name == where.url_file else hub_sha256(found)
    if not cached_sha256(found, cache_dir).startswith(expected):
        problem = f"{found} is not the published file (its SHA-256 is not {expected[:12]}…): damaged or another's"
        raise ConfigError(key, where.tag, problem, remedy=f"fetch it again, or name it as a path: {key}={found}")
    return found


def gather(
    backbone_cfg: Mapping[str, Any], found: Mapping[str, WeightFile], cache_dir: Path
) -> dict[str, tuple[Path, Path]]:
    """Copies published weights that lie in the cache of another library into the platform's, their SHA-256 beside them.

    Args:
        backbone_cfg: the backbone's yaml.
        found: from `find_weights`.
        cache_dir: the platform's cache.

    Returns:
        Part → its file and the folder to copy, of the parts that have published weights.
    """
    gathered = {}
    for part, owner in owners_of(backbone_cfg).items():
        file = found.get(part, found.get("all"))
        where = None if file is None else owner.published().get(file.source)
        if file is None or file.path is None or where is None:
            continue
        target = _place(where, file.path, cache_dir)
        if not target.is_file():
            # find_weights checks the sum, so a copy to another machine can be verified.
            note = f"{file.sha256}  {target.name}\n"
            write_atomically(note_of(target), partial(_write, note))
            write_atomically(target, partial(shutil.copyfile, file.path))
        gathered[part] = (target, where.folder(cache_dir))
    return gathered


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _place(where: Published, path: Path, cache_dir: Path) -> Path:
    """Where a file belongs; one that lies in the platform's folder already stays."""
    folder = where.folder(cache_dir)
    if path.absolute().is_relative_to(folder.absolute()):
        return path
    return folder / path.name if path.name == where.url_file else folder / where.repository_name / path.name
