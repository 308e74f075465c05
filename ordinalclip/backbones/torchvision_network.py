"""torchvision's classification networks as image towers: VGG-16, ResNet-50, AlexNet and all that end in a Linear."""

from typing import Any, Literal, cast

from torch import nn

from ordinalclip.backbones.plain_state import fit_state, read_plain
from ordinalclip.backbones.pooling import fix_pooling
from ordinalclip.backbones.weights import WeightFile
from ordinalclip.errors import ConfigError
from ordinalclip.preprocessing import Preprocessing


class TorchvisionNetwork:
    """Follows `networks.ImageNetwork`.

    Args:
        model: torchvision's name, such as `vgg16`.
        tag: whose weights they are, such as `IMAGENET1K_V1`: decides how images are prepared; None is the first of the
            network's published ones.
        size: pixels of the image's side; None is that of the weights.
        resize: "crop" as torchvision's own, or "squash"; None is "crop".
    """

    published = False  # torchvision's own files are plain state dicts

    def __init__(
        self, *, model: str, tag: str | None, size: int | None, resize: Literal["squash", "crop"] | None
    ) -> None:
        from torchvision.models import get_model_weights

        published = get_model_weights(model)
        self.model = model
        way: Any = (next(iter(published)) if tag is None else published[tag]).transforms()
        self.preprocessing = Preprocessing(
            size=way.crop_size[0] if size is None else size,
            mean=tuple(way.mean),
            std=tuple(way.std),
            interpolation=way.interpolation.value,
            resize="crop" if resize is None else resize,
            margin=way.resize_size[0] / way.crop_size[0],
        )

    def create(self) -> nn.Module:
        """The whole network with random weights."""
        from torchvision.models import get_model

        # Only transformers have position embeddings, and with them a size.
        size = {"image_size": self.preprocessing.size} if self.model.startswith("vit_") else {}
        return fix_pooling(cast(nn.Module, get_model(self.model, weights=None, **size)))

    def last_layer(self, net: nn.Module) -> str | None:
        """Name of the last Linear.

        Raises:
            ConfigError: if the network ends in something else.
        """
        layers = [(name, module) for name, module in net.named_modules() if not list(module.children())]
        name, module = [(n, m) for n, m in layers if list(m.parameters(recurse=False))][-1]
        if not isinstance(module, nn.Linear):
            problem = f"ends in a {type(module).__name__}, which cannot be replaced by a Linear"
            raise ConfigError("backbone.image_model", self.model, problem)
        return name

    def tower(self, file: WeightFile) -> nn.Module:
        """The network without its last layer, with weights from a file."""
        net = self.create()
        if file.path is not None:
            key = "backbone.weights.image"
            state, last = read_plain(file.path, key), self.last_layer(net)
            fitted = fit_state(state, net.state_dict(), last=last, path=file.path, key=key)
            net.load_state_dict(fitted.body, strict=False)
        return self.without_last_layer(net)

    def without_last_layer(self, net: nn.Module) -> nn.Module:
        """The network with nothing in place of its last layer."""
        net.set_submodule(cast(str, self.last_layer(net)), nn.Identity())
        return net
