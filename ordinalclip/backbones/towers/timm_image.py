"""timm's networks as image towers: what they give without a classifier."""

from typing import Any, Literal, cast

from torch import nn

from ordinalclip.backbones.towers.state_dicts import fit_state, read_plain
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.errors import ConfigError
from ordinalclip.images.preprocessing import Preprocessing


class TimmNetwork:
    """Implements `mixed.ImageNetwork`.

    Args:
        model: timm's name without a tag, such as `resnet10t`.
        tag: whose weights they are, such as `c3_in1k`: decides how images are prepared and that timm reads the file;
            None is the network's first, and a file is a plain state dict.
        size: pixels of the image's side; None is that of the weights. Position embeddings are interpolated.
        resize: None is that of the weights.

    Raises:
        ConfigError: if its images cannot be prepared.
    """

    def __init__(
        self, *, model: str, tag: str | None, size: int | None, resize: Literal["squash", "crop"] | None
    ) -> None:
        from timm.data import resolve_data_config
        from timm.models import get_pretrained_cfg

        self.model = model if tag is None else f"{model}.{tag}"
        self.published = tag is not None
        config = get_pretrained_cfg(self.model)
        data: dict[str, Any] = resolve_data_config(pretrained_cfg={} if config is None else config.to_dict())
        height, width = data["input_size"][1:]
        ways: dict[str, Literal["squash", "crop"]] = {"center": "crop", "squash": "squash"}
        if data["crop_mode"] not in ways or height != width or data["interpolation"] not in ("bilinear", "bicubic"):
            way = f"{height} × {width} pixels by {data['crop_mode']} and {data['interpolation']}"
            raise ConfigError("backbone.image_model", model, f"images of {way} are not provided for")
        self.resized = size is not None and size != height
        side = height if size is None else size
        self.preprocessing = Preprocessing(
            size=side,
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            interpolation=data["interpolation"],
            resize=ways[data["crop_mode"]] if resize is None else resize,
            margin=int(side / data["crop_pct"]) / side,
        )

    def create(self) -> nn.Module:
        """The whole network with random weights."""
        from timm import create_model

        return create_model(self.model, pretrained=False)

    def last_layer(self, net: nn.Module) -> str | None:
        """Name of timm's classifier, where it is a Linear."""
        classifier = cast(Any, net).get_classifier()
        names = [name for name, module in net.named_modules() if module is classifier]
        return names[0] if names and isinstance(classifier, nn.Linear) else None

    def tower(self, file: WeightFile) -> nn.Module:
        """The network without its classifier, with weights from a file."""
        if file.path is None:
            return self.without_last_layer(self.create())
        key = "backbone.weights.image"
        if self.published:
            return self.without_last_layer(self._published(file, key))
        net = self.create()
        state, last = read_plain(file.path, key), self.last_layer(net)
        fitted = fit_state(state, net.state_dict(), last=last, path=file.path, key=key)
        net.load_state_dict(fitted.body, strict=False)
        return self.without_last_layer(net)

    def without_last_layer(self, net: nn.Module) -> nn.Module:
        """The network as timm's own feature extractor, for images of the size that is wanted."""
        network = cast(Any, net)
        network.reset_classifier(0)
        if self.resized and hasattr(network, "set_input_size"):
            network.set_input_size(img_size=self.preprocessing.size)
        return net

    def _published(self, file: WeightFile, key: str) -> nn.Module:
        """Read by timm, which renames what older files call otherwise."""
        from timm import create_model

        where = {"file": str(file.path), "custom_load": False}
        try:
            return create_model(self.model, pretrained=True, pretrained_cfg_overlay=where)
        except Exception as error:  # whatever a foreign file makes a foreign loader raise
            said = " ".join(str(error).split()[:40])
            problem = f"the file does not fit {self.model}: {type(error).__name__}: {said}"
            raise ConfigError(key, str(file.path), problem) from error
