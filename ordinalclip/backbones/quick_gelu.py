"""QuickGELU or GELU: a file does not say which one it was trained with, and with the other it is silently worse.

open_clip builds a model with the activation of its weights' tag, so published weights are right by construction, but
for models whose name asks for QuickGELU (`ViT-B-16-quickgelu`). What is left to check is what a user says about a file.
"""

from pathlib import Path

from ordinalclip.backbones.openclip_table import pretrained_tags
from ordinalclip.backbones.weight_owner import Owner
from ordinalclip.backbones.weight_paths import is_torchscript
from ordinalclip.errors import ConfigError

_SUFFIX = "-quickgelu"


def uses_quick_gelu(model: str, tag: str) -> bool:
    """Whether the weights that a tag stands for were trained with QuickGELU.

    Args:
        model: open_clip's name, with or without `-quickgelu`.
        tag: one of its tags, or `config`: what the model's name says.
    """
    base = model.removesuffix(_SUFFIX)
    if tag == "config":
        return base != model
    return tag == "openai" or tag in pretrained_tags(f"{base}{_SUFFIX}")


def check_tag(owner: Owner, tag: str, key: str, allowed: str) -> None:
    """Refuses a tag that a network does not have, and says so where only the activation is in the way.

    Args:
        owner: the network.
        tag: what was given as a source of weights, or as the origin of a file.
        key: where it was given.
        allowed: what may stand there.

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
    """Checks what the configuration says about the training of a file's weights.

    Args:
        owner: the open_clip model, with its `tag`.
        path: the file.

    Raises:
        ConfigError: if nothing is said, or what is said cannot be true of the file.
    """
    tags = list(owner.published())
    allowed = f"{', '.join(tags)}{', ' if tags else ''}config (as the model's configuration says, CLIP's mean and std)"
    archive = is_torchscript(path)
    if owner.tag is None and not archive:
        problem = f"{path.name} was trained with an activation and a preprocessing that only its origin tells"
        raise ConfigError(owner.tag_key, "null", problem, allowed=allowed)
    if owner.tag is not None and owner.tag != "config":
        check_tag(owner, owner.tag, owner.tag_key, allowed)
    if archive and owner.tag is not None and not uses_quick_gelu(owner.model, owner.tag):
        problem = f"{path.name} is an archive of OpenAI's, whose models use QuickGELU; this stands for GELU"
        raise ConfigError(owner.tag_key, owner.tag, problem, remedy=f"{owner.tag_key}=null, or openai")
