"""Which weight files a backbone needs, where they are, what they hash to. Imports no torch: it runs first."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ordinalclip.backbones.hashes import sha256_of
from ordinalclip.backbones.hub import fetch, search
from ordinalclip.backbones.openclip_table import check_model, pretrained_tags
from ordinalclip.backbones.tokenizer_files import find_tokenizer, tokenizer_hash
from ordinalclip.errors import ConfigError

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

    A tag's weights are looked for in `<cache_dir>/clip`, where open_clip keeps its own, and in the hub's cache; then
    they are downloaded, unless `HF_HUB_OFFLINE` is set or the hub does not answer within seconds.

    Args:
        backbone_cfg: the backbone's yaml; with a key `model` tags are that open_clip model's.
        cache_dir: the platform's cache.
        download: whether to try.

    Returns:
        Part → file. A single string in the configuration is the part "all"; the part "tokenizer" of an open_clip model
        is a folder.

    Raises:
        ConfigError: naming the setting, where it was looked, and what to do.
    """
    model = backbone_cfg.get("model")
    reader = backbone_cfg.get("text_model", model)
    if reader is not None:
        check_model(reader)
    found = _find_all(backbone_cfg, model, cache_dir, download)
    folder = None if reader is None else find_tokenizer(reader, backbone_cfg.get("tokenizer"), cache_dir, download)
    if folder is not None:
        found["tokenizer"] = WeightFile(str(folder), folder, tokenizer_hash(folder, cache_dir))
    return found


def resolve(source: str, key: str = "backbone.weights") -> Path:
    """The file of `package:<import name>/<path in it>` or of a path.

    Raises:
        ConfigError: if there is no such file.
    """
    if not source.startswith("package:"):
        path = Path(source).expanduser()
        if path.is_file():
            return path
        raise ConfigError(key, source, "there is no such file", remedy=f"give the path of one, {_remedy()}")
    package, _, inner = source.removeprefix("package:").partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        problem = f"the package {package} is not installed"
        raise ConfigError(key, source, problem, remedy=f"install the extra that has it (make setup), {_remedy()}")
    path = Path(spec.submodule_search_locations[0]) / inner
    if path.is_file():
        return path
    problem = f"the package {package} has no such file ({path})"
    raise ConfigError(key, source, problem, remedy=f"give the path of one, {_remedy()}")


def names_a_path(source: str) -> bool:
    """Whether a source is a file's name rather than a tag."""
    return source.startswith("package:") or "/" in source or Path(source).suffix != ""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, the form in which OpenAI publishes its models."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _find_all(
    backbone_cfg: Mapping[str, Any], model: str | None, cache_dir: Path, download: bool
) -> dict[str, WeightFile]:
    weights = backbone_cfg["weights"]
    if not isinstance(weights, Mapping):
        key = "backbone.weights"
        return {"all": _find(str(weights), key, model, backbone_cfg.get("tag"), cache_dir, download)}
    found = {}
    for part, source in weights.items():
        is_clip = part == "text" or (part == "image" and backbone_cfg.get("image_library") == "open_clip")
        model, tag = (backbone_cfg.get(f"{part}_{what}") if is_clip else None for what in ("model", "tag"))
        found[part] = _find(str(source), f"backbone.weights.{part}", model, tag, cache_dir, download)
    return found


def _find(source: str, key: str, model: str | None, tag: str | None, cache_dir: Path, download: bool) -> WeightFile:
    if source == RANDOM:
        return WeightFile(RANDOM, None, RANDOM)
    tags = {} if model is None else pretrained_tags(model)
    if source in tags:
        path = _find_tag(source, key, str(model), cache_dir, download)
    elif model is None or names_a_path(source):
        path = resolve(source, key)
        if model is not None:
            _check_tag(tag, path, model, list(tags))
    else:
        allowed = f"{', '.join(tags)}{', ' if tags else ''}a path, {RANDOM}"
        raise ConfigError(key, source, f"no published weights of {model} have this name", allowed=allowed)
    return WeightFile(source, path, sha256_of(path, cache_dir))


def _find_tag(tag: str, key: str, model: str, cache_dir: Path, download: bool) -> Path:
    where = pretrained_tags(model)[tag]
    found, looked = search(where, model, tag, cache_dir)
    problem = "weights are not on this machine"
    if found is None and download:
        found, problem = fetch(where)
    if found is None:
        target = cache_dir / "clip" / where.repository.rpartition("/")[2]
        fetching = f"hf download {where.repository} {where.hub_files[0]} --local-dir {target}"
        if not where.repository:
            fetching = f"download {where.url} into {cache_dir / 'clip'}"
        remedy = f"on a machine with internet `{fetching}`, then copy that folder here; {_remedy()}"
        looked_in = ", ".join(str(path) for path in looked)
        raise ConfigError(key, tag, f"the weights of {model} ({problem}); looked for {looked_in}", remedy=remedy)
    expected = where.url_sha256
    if found.name == where.url_file and expected and sha256_of(found, cache_dir) != expected:
        problem = f"{found} is not the published file (its SHA-256 is not {expected[:12]}…): damaged, or another model"
        raise ConfigError(key, tag, problem, remedy=f"fetch it again, or name it as a path: {key}={found}")
    return found


def _check_tag(tag: str | None, path: Path, model: str, tags: list[str]) -> None:
    """A file does not say which activation and which mean and deviation it was trained with; its tag does."""
    if tag is None and is_torchscript(path):
        return
    allowed = f"{', '.join(tags)}{', ' if tags else ''}config (as the model's configuration says, CLIP's mean and std)"
    if tag is None:
        problem = f"{path.name} was trained with an activation and a preprocessing that only its origin tells"
        raise ConfigError("backbone.tag", "null", problem, allowed=allowed)
    if tag != "config" and tag not in tags:
        raise ConfigError("backbone.tag", tag, f"no published weights of {model} have this name", allowed=allowed)


def _remedy() -> str:
    return "or run the true architecture untrained with backbone.weights=random"
