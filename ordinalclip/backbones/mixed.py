"""An image network of one library and the text tower of a CLIP, such as the paper's VGG-16 with RN50's text tower.

The last layer of the network is replaced by a linear map into the text's space. That map is the part "projection" and
is trained; the layers before it are the image tower, whose features are cached while it is frozen.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from ordinalclip.backbones.backbone import Backbone, LastLayer, LazyTower
from ordinalclip.backbones.towers.openclip_models import OpenClipNetwork, load_half, origin, published_settings
from ordinalclip.backbones.towers.openclip_text import text_tower_of
from ordinalclip.backbones.towers.state_dicts import fit_state, initial_projection, read_plain
from ordinalclip.backbones.towers.timm_image import TimmNetwork
from ordinalclip.backbones.towers.torchvision_image import TorchvisionNetwork
from ordinalclip.backbones.weights.find import RANDOM, WeightFile
from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError
from ordinalclip.images.preprocessing import Preprocessing, reference_preprocessing

_LIBRARIES: dict[str, type[TorchvisionNetwork] | type[TimmNetwork] | type[OpenClipNetwork]] = {
    "torchvision": TorchvisionNetwork,
    "timm": TimmNetwork,
    "open_clip": OpenClipNetwork,
}


class ImageNetwork(Protocol):
    """What a library knows about one of its networks.

    Attributes:
        preprocessing: how images enter it.
        published: whether the library itself reads its weights; else they are a plain state dict.
    """

    preprocessing: Preprocessing
    published: bool

    def create(self) -> nn.Module:
        """The whole network with random weights."""
        ...

    def last_layer(self, net: nn.Module) -> str | None:
        """Name of the last layer among the modules of a whole network; None where none is replaced."""
        ...

    def tower(self, file: WeightFile) -> nn.Module:
        """The network without its last layer, [B, 3, H, W] → [B, F], with weights from a file."""
        ...

    def without_last_layer(self, net: nn.Module) -> nn.Module:
        """What `tower` makes of a whole network, which it may change."""
        ...


def on_meta(create: Callable[[], nn.Module]) -> nn.Module:
    """A network whose tensors have shapes and no values: made in no time, whatever its size."""
    try:
        with torch.device("meta"):
            return create().eval()
    except (NotImplementedError, RuntimeError):  # one that computes its own widths with tensors
        return create().eval()


def feature_width(tower: nn.Module, preprocessing: Preprocessing, model: str) -> int:
    """F of a tower, from `on_meta` or not.

    Raises:
        ConfigError: if it does not take images of that size, or gives something else than one vector an image.
    """
    device = next(tower.parameters()).device
    size = preprocessing.size
    try:
        with torch.inference_mode():
            features: Any = tower(torch.zeros(1, 3, size, size, device=device))
    except (RuntimeError, AssertionError, ValueError) as error:
        said = " ".join(str(error).split()[:20])
        raise ConfigError("backbone.size", size, f"{model} does not take images of this size: {said}") from error
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ConfigError("backbone.image_model", model, "does not give one vector for an image")
    return features.shape[1]


def build_mixed(
    *,
    image_library: Literal["torchvision", "timm", "open_clip"],
    image_model: str,
    text_model: str,
    image_tag: str | None = None,
    text_tag: str | None = None,
    size: Annotated[int, Between(16, None)] | None = None,
    resize: Literal["squash", "crop"] | None = None,
    tokenizer: str | None = None,
    preprocessing: Literal["own", "reference"] = "own",
    weights: Mapping[str, WeightFile],
) -> Backbone:
    """Build an image network and the text half of an open_clip model.

    Args:
        image_library: where the image network is from.
        image_model: its name there. A torchvision network has to end in a Linear; a timm network gives its features;
            an open_clip tower keeps its own projection, to which the linear map is added.
        text_model: open_clip's name of the model whose text tower and logit scale are used.
        image_tag: whose image weights a path's are: decides how images are prepared. Not needed with published weights;
            null is the network's first published ones.
        text_tag: whose text weights a path's are: decides QuickGELU. Not needed with published weights.
        size: pixels of the image's side; None is that of the image weights.
        resize: how images reach that size; None is that of the image weights.
        tokenizer: folder of the text model's tokenizer where it is not CLIP's, see `build_openclip`.
        preprocessing: "own" is that of the image weights, "reference" that of the paper's code.
        weights: parts "image" and "text", or "all" at random; and "tokenizer" where the text model has its own.

    Raises:
        ConfigError: for a network that cannot be used, and files that do not fit.
    """
    image_file, text_file = (_part(weights, part) for part in ("image", "text"))
    network: ImageNetwork = _LIBRARIES[image_library](
        model=image_model, tag=origin(image_file, image_tag), size=size, resize=resize
    )
    words = weights["tokenizer"].path if "tokenizer" in weights else None
    clip = load_half(
        text_model,
        text_file.path,
        only="text",
        quick_gelu=published_settings(text_model, origin(text_file, text_tag)).get("quick_gelu"),
        text_folder=words,
        key="backbone.weights.text",
    )
    text = text_tower_of(clip, text_model, words)
    prepared = network.preprocessing
    feature_dim, initial = _inspect(network, image_model, image_file, text.embed_dim)
    return Backbone(
        image=LazyTower(lambda: network.tower(image_file)),
        text=text,
        projection=LastLayer(feature_dim=feature_dim, embed_dim=text.embed_dim, initial=initial),
        logit_scale=float(clip.logit_scale.detach()),
        preprocessing=prepared if preprocessing == "own" else reference_preprocessing(prepared.size),
        feature_dim=feature_dim,
        embed_dim=text.embed_dim,
    )


def _inspect(network: ImageNetwork, model: str, file: WeightFile, embed_dim: int) -> tuple[int, Tensor | None]:
    """F, and the projection's initial weight; a user's file is compared with the network, which is not built."""
    net = on_meta(network.create)
    name, state = network.last_layer(net), net.state_dict()
    feature_dim = feature_width(network.without_last_layer(net), network.preprocessing, model)
    if file.path is None or network.published:
        return feature_dim, None
    key = "backbone.weights.image"
    fitted = fit_state(read_plain(file.path, key), state, last=name, path=file.path, key=key)
    return feature_dim, initial_projection(fitted.last, feature_dim=feature_dim, embed_dim=embed_dim, path=file.path)


def _part(weights: Mapping[str, WeightFile], part: str) -> WeightFile:
    unknown = sorted({*weights} - {"image", "text", "tokenizer", "all"})
    if unknown:
        raise ConfigError(
            f"backbone.weights.{unknown[0]}", weights[unknown[0]].source, "no such part", allowed="image, text"
        )
    if part in weights:
        return weights[part]
    if "all" in weights and weights["all"].path is None:
        return weights["all"]
    if "all" in weights:
        problem = "the towers are of two files; one for both can only be random"
        raise ConfigError("backbone.weights", weights["all"].source, problem, allowed=f"{RANDOM}, or image and text")
    raise ConfigError(f"backbone.weights.{part}", "null", "is missing", allowed=f"a tag, a path, {RANDOM}")
