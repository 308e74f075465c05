"""Published weights: what their files are called, where they come from, and where they may lie on this machine."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ordinalclip.backbones.openclip_table import pretrained_tags
from ordinalclip.backbones.timm_table import timm_tags
from ordinalclip.backbones.torchvision_table import torchvision_tags

LIBRARIES = ("open_clip", "torchvision", "timm")


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
    """The first digits of the SHA-256, which stand in a file's name by a convention of torch.hub's."""
    found = re.search(r"-([0-9a-f]{8,64})\.", url.rsplit("/", 1)[-1])
    return found.group(1) if found else ""
