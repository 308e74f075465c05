"""The image tower of an open_clip model beside the text tower of another."""

from typing import Literal, cast

from torch import nn

from ordinalclip.backbones.openclip_files import load_half
from ordinalclip.backbones.openclip_model import empty_model, preprocessing_of, published_settings
from ordinalclip.backbones.weights import WeightFile


class OpenClipNetwork:
    """Follows `networks.ImageNetwork`; the tower keeps its own projection, into the space that it was trained in.

    Args:
        model: open_clip's name.
        tag: whose weights they are: decides activation and preprocessing; None is the model's configuration.
        size: pixels of the image's side; None is the model's. Position embeddings are interpolated.
        resize: None is that of the weights.
    """

    published = True

    def __init__(
        self, *, model: str, tag: str | None, size: int | None, resize: Literal["squash", "crop"] | None
    ) -> None:
        import open_clip

        self.model, self.size = model, size
        settings = published_settings(model, tag)
        self.quick_gelu: bool | None = settings.get("quick_gelu")
        if resize is not None:
            settings["resize_mode"] = {"crop": "shortest", "squash": "squash"}[resize]
        own_size = open_clip.get_model_config(model)["vision_cfg"].get("image_size", 224)
        self.preprocessing = preprocessing_of(
            own_size if size is None else size, settings, model, "backbone.image_model"
        )

    def create(self) -> nn.Module:
        """The tower with random weights."""
        return cast(nn.Module, empty_model(self.model, quick_gelu=self.quick_gelu, size=self.size, only="image").visual)

    def last_layer(self, net: nn.Module) -> str | None:
        """None: nothing is replaced."""
        return None

    def tower(self, file: WeightFile) -> nn.Module:
        """The tower with weights from a file of the whole model or of its image half."""
        clip = load_half(
            self.model,
            file.path,
            only="image",
            quick_gelu=self.quick_gelu,
            size=self.size,
            key="backbone.weights.image",
        )
        return cast(nn.Module, clip.visual)

    def without_last_layer(self, net: nn.Module) -> nn.Module:
        """The tower as it is."""
        return net
