"""Whose weights a part of `backbone.weights` are: which library and which of its networks knows their names."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ordinalclip.backbones.openclip_table import check_model, open_clip_models
from ordinalclip.backbones.published import Published, published_weights
from ordinalclip.backbones.timm_table import timm_models
from ordinalclip.backbones.torchvision_table import UNFIT, torchvision_models
from ordinalclip.errors import ConfigError


@dataclass(frozen=True)
class Owner:
    """A network with published weights.

    Attributes:
        library: one of `published.LIBRARIES`.
        model: the network's name there.
        tag: whose weights a path's are, as the configuration says.
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
        if self.library == "torchvision" and self.model in UNFIT:
            problem = "its last layer is no Linear, or it has further heads in training"
            raise ConfigError(self.model_key, self.model, problem, allowed="vgg16, resnet50, alexnet, …")
        if self.model not in names:
            near = get_close_matches(self.model, names, n=4, cutoff=0.5)
            # timm's users know names with a tag.
            base, _, tag = self.model.partition(".")
            remedy = f"{self.model_key}={base} and backbone.weights.image={tag}" if base in names and tag else ""
            problem = f"{self.library} has no network of this name"
            raise ConfigError(self.model_key, self.model, problem, allowed=", ".join(near), remedy=remedy)


_MODELS: dict[str, Callable[[], Iterable[str]]] = {
    "open_clip": open_clip_models,
    "torchvision": torchvision_models,
    "timm": timm_models,
}


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
