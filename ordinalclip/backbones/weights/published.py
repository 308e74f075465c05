"""Published weights: file names, sources, places on this machine, and the library and network that they belong to.

`check_tag` and `check_origin` refuse weights that were trained with QuickGELU for a network that has GELU, or the other
way round: a file does not say which one it was trained with, and the wrong one lowers accuracy without an error.
open_clip builds a model with the activation of its tag, so published weights are right except for model names that ask
for QuickGELU themselves (`ViT-B-16-quickgelu`); what is checked is what a user states about a file.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ordinalclip.backbones.weights.paths import is_torchscript
from ordinalclip.backbones.weights.tables import (
    UNSUPPORTED,
    check_model,
    open_clip_models,
    pretrained_tags,
    timm_models,
    timm_tags,
    torchvision_models,
    torchvision_tags,
)
from ordinalclip.errors import ConfigError

LIBRARIES = ("open_clip", "torchvision", "timm")

_MODELS: dict[str, Callable[[], Iterable[str]]] = {
    "open_clip": open_clip_models,
    "torchvision": torchvision_models,
    "timm": timm_models,
}
_SUFFIX = "-quickgelu"


@dataclass(frozen=True)
class Published:
    """Published weights of a network.

    Attributes:
        library: one of `LIBRARIES`.
        model: the network's name there.
        tag: the weights' name there.
        url: of one file, or "".
        sha256: of the file at `url`, as many of its first digits as are published; "" is none.
        repository: on the Hugging Face hub, or "".
        hub_files: what the file may be called there, best first.
    """

    library: str
    model: str
    tag: str
    url: str = ""
    sha256: str = ""
    repository: str = ""
    hub_files: tuple[str, ...] = ()

    @property
    def url_file(self) -> str:
        """The file's name at `url`, or ""."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def repository_name(self) -> str:
        """The repository without its owner, or ""."""
        return self.repository.rpartition("/")[2]

    def folder(self, cache_dir: Path) -> Path:
        """Where these weights belong below the platform's cache: the folder to copy to other machines."""
        return cache_dir / {"open_clip": "clip"}.get(self.library, self.library)

    def places(self, cache_dir: Path) -> list[Path]:
        """Every file that may hold them, but for the hub's own cache, the first choice first."""
        folder, places = self.folder(cache_dir), []
        if self.url:
            elsewhere = Path("~/.cache/clip").expanduser() if self.library == "open_clip" else torch_hub()
            places += [folder / self.url_file, elsewhere / self.url_file]
        if self.repository:
            places += [folder / self.repository_name / file for file in self.hub_files]
        joined = "-" if self.library == "open_clip" else "."
        return [*places, folder / f"{self.model}{joined}{self.tag}.safetensors"]

    def command(self, cache_dir: Path) -> str:
        """What fetches them on any machine, to where they belong."""
        if self.repository:
            folder = self.folder(cache_dir) / self.repository_name
            return f"hf download {self.repository} {self.hub_files[0]} --local-dir {folder}"
        return f"curl --create-dirs -o {self.folder(cache_dir) / self.url_file} {self.url}"


def published_weights(library: str, model: str) -> dict[str, Published]:
    """Tag → published weights of a network.

    Args:
        library: one of `LIBRARIES`.
        model: a name that it has.
    """
    if library == "torchvision":
        return {tag: Published(library, model, tag, url, _digits(url)) for tag, url in torchvision_tags(model).items()}
    if library == "timm":
        return {
            tag: Published(library, model, tag, at.url, _digits(at.url), at.repository, at.hub_files)
            for tag, at in timm_tags(model).items()
        }
    return {
        tag: Published(library, model, tag, at.url, at.url_sha256 or _digits(at.url), at.repository, at.hub_files)
        for tag, at in pretrained_tags(model).items()
    }


def torch_hub() -> Path:
    """Where torch.hub, and with it torchvision, keeps what it has downloaded."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _digits(url: str) -> str:
    """The first digits of the SHA-256, which are in a file's name by a convention of torch.hub."""
    found = re.search(r"-([0-9a-f]{8,64})\.", url.rsplit("/", 1)[-1])
    return found.group(1) if found else ""


@dataclass(frozen=True)
class Owner:
    """A network with published weights.

    Attributes:
        library: one of `published.LIBRARIES`.
        model: the network's name there.
        tag: the origin of a path's weights in the configuration.
        model_key: of the name in the configuration.
        tag_key: of the tag there.
    """

    library: str
    model: str
    tag: str | None
    model_key: str
    tag_key: str

    def published(self) -> dict[str, Published]:
        """Tag → its published weights."""
        return published_weights(self.library, self.model)

    def check(self) -> None:
        """Checks that there is such a network, and that it can be used.

        Raises:
            ConfigError: if not.
        """
        if self.library == "open_clip" and self.model_key != "backbone.image_model":
            try:
                check_model(self.model)
            except ConfigError as error:
                raise ConfigError(
                    self.model_key, error.value, error.problem, allowed=error.allowed, remedy=error.remedy
                ) from None
            return
        names = list(_MODELS[self.library]())
        if self.library == "torchvision" and self.model in UNSUPPORTED:
            problem = "its last layer is no Linear, or it has further heads in training"
            raise ConfigError(self.model_key, self.model, problem, allowed="vgg16, resnet50, alexnet, …")
        if self.model not in names:
            near = get_close_matches(self.model, names, n=4, cutoff=0.5)
            # timm's users know names with a tag.
            base, _, tag = self.model.partition(".")
            remedy = f"{self.model_key}={base} and backbone.weights.image={tag}" if base in names and tag else ""
            problem = f"{self.library} has no network of this name"
            raise ConfigError(self.model_key, self.model, problem, allowed=", ".join(near), remedy=remedy)


def owners_of(backbone_cfg: Mapping[str, Any]) -> dict[str, Owner]:
    """Part → whose weights it has, of the parts that have published ones.

    Args:
        backbone_cfg: the backbone's yaml. A key `model` means one open_clip model for the part "all"; `image_library`,
            `image_model` and `text_model` mean a network and an open_clip model for the parts "image" and "text".
    """
    cfg = backbone_cfg
    if cfg.get("model") is not None:
        return {"all": Owner("open_clip", cfg["model"], cfg.get("tag"), "backbone.model", "backbone.tag")}
    owners = {}
    if cfg.get("image_model") is not None:
        library, tag = cfg.get("image_library", "torchvision"), cfg.get("image_tag")
        owners["image"] = Owner(library, cfg["image_model"], tag, "backbone.image_model", "backbone.image_tag")
    if cfg.get("text_model") is not None:
        tag = cfg.get("text_tag")
        owners["text"] = Owner("open_clip", cfg["text_model"], tag, "backbone.text_model", "backbone.text_tag")
    return owners


def uses_quick_gelu(model: str, tag: str) -> bool:
    """Whether the weights of a tag were trained with QuickGELU.

    Args:
        model: open_clip's name, with or without `-quickgelu`.
        tag: one of its tags, or `config`: as the model's name has it.
    """
    base = model.removesuffix(_SUFFIX)
    if tag == "config":
        return base != model
    return tag == "openai" or tag in pretrained_tags(f"{base}{_SUFFIX}")


def check_tag(owner: Owner, tag: str, key: str, allowed: str) -> None:
    """Refuses a tag that a network does not have; a special message if only the activation differs.

    Args:
        owner: the network.
        tag: what was given as a source of weights, or as the origin of a file.
        key: where it was given.
        allowed: accepted values, for the message.

    Raises:
        ConfigError: if the network has no such tag.
    """
    if tag in owner.published():
        return
    base = owner.model.removesuffix(_SUFFIX)
    if owner.library == "open_clip" and base != owner.model and tag in pretrained_tags(base):
        problem = f"these weights were trained with GELU, and {owner.model} computes QuickGELU"
        raise ConfigError(key, tag, problem, allowed=allowed, remedy=f"{owner.model_key}={base}")
    raise ConfigError(key, tag, f"no published weights of {owner.model} have this name", allowed=allowed)


def check_origin(owner: Owner, path: Path) -> None:
    """Checks what the configuration states about the training of a file's weights.

    Args:
        owner: the open_clip model, with its `tag`.
        path: the file.

    Raises:
        ConfigError: if the origin is missing or contradicts the file.
    """
    tags = list(owner.published())
    allowed = f"{', '.join(tags)}{', ' if tags else ''}config (as the model's configuration says, CLIP's mean and std)"
    archive = is_torchscript(path)
    if owner.tag is None and not archive:
        problem = f"{path.name} was trained with an activation and a preprocessing that only its origin determines"
        raise ConfigError(owner.tag_key, "null", problem, allowed=allowed)
    if owner.tag is not None and owner.tag != "config":
        check_tag(owner, owner.tag, owner.tag_key, allowed)
    if archive and owner.tag is not None and not uses_quick_gelu(owner.model, owner.tag):
        problem = f"{path.name} is an archive of OpenAI's, whose models use QuickGELU; this tag means GELU"
        raise ConfigError(owner.tag_key, owner.tag, problem, remedy=f"{owner.tag_key}=null, or openai")
