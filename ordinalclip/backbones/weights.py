"""Which weight files a backbone needs, where they are, what they hash to. Imports no torch: it runs first."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ordinalclip.backbones.hashes import sha256_of
from ordinalclip.backbones.hub import fetch, search
from ordinalclip.backbones.hub_hash import hub_sha256
from ordinalclip.backbones.published import Published
from ordinalclip.backbones.quick_gelu import check_origin, check_tag
from ordinalclip.backbones.tokenizer_files import find_tokenizer, tokenizer_hash
from ordinalclip.backbones.weight_owner import Owner, owners_of
from ordinalclip.backbones.weight_paths import OR_RANDOM, is_torchscript, names_a_path, resolve
from ordinalclip.errors import ConfigError

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
    keeps its own; then they are downloaded, unless `HF_HUB_OFFLINE` is set or nobody answers within seconds.

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
        found[part] = WeightFile(source, path, RANDOM if path is None else sha256_of(path, cache_dir))
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
    if not sha256_of(found, cache_dir).startswith(expected):
        problem = f"{found} is not the published file (its SHA-256 is not {expected[:12]}…): damaged or another's"
        raise ConfigError(key, where.tag, problem, remedy=f"fetch it again, or name it as a path: {key}={found}")
    return found
