"""OrdinalCLIP: images and ranks in one space. B images, R ranks, F tower features, D shared width."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.text.encoding import PromptTokens, encode_prompts

if TYPE_CHECKING:
    from ordinalclip.backbones.backbone import Backbone


class Prompt(Protocol):
    """What the model asks of a prompt, which is an `nn.Module` besides."""

    def __call__(self) -> PromptTokens | Tensor:
        """One sentence per rank; or rank features [R, D], not normalised, where no text is involved."""
        ...

    def parts(self) -> dict[str, list[str]]:
        """Names of the prompt's parameters by part: context, rank or head."""
        ...


class Output(NamedTuple):
    """What a forward pass gives to losses and metrics."""

    logits: Tensor  # [B, R]
    image_features: Tensor  # [B, D], unit length
    rank_features: Tensor  # [R, D], unit length
    logit_scale: Tensor  # [], exponentiated


class OrdinalCLIP(nn.Module):
    """Logits are scaled cosines of image features with rank features [CLIP, OrdinalCLIP].

    Parts that are frozen, that is those whose parameters all have `requires_grad=False`, stay in eval mode whatever
    `train()` sets: their BatchNorm statistics and Dropout must not move either.

    Args:
        backbone: both towers, the projection between them and the logit scale.
        prompt: what ranks look like to the text tower.

    Attributes:
        initialised: names of parameters and buffers whose values came from another run's checkpoint: no weight file
            has them, so that this run's checkpoints keep them even where they are frozen.
    """

    def __init__(self, backbone: "Backbone", prompt: Prompt) -> None:
        super().__init__()
        self.backbone = backbone
        self.prompt = prompt
        self.initialised: frozenset[str] = frozenset()

    def rank_features(self) -> Tensor:
        """Rank features [R, D], unit length. Costs a pass of the text tower: once a step, once an evaluation."""
        prompt = self.prompt()
        features_RD = prompt if isinstance(prompt, Tensor) else encode_prompts(self.backbone.text, prompt)
        return self._unit_length(features_RD)

    def image_features(self, images: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Image features [B, D], unit length.

        Args:
            images: preprocessed pixels [B, 3, H, W], or
            features: what the image tower made of them [B, F], in any precision.

        Raises:
            ValueError: both or none are given.
        """
        if (images is None) == (features is None):
            raise ValueError("give either images or features")
        if features is None:
            features = self.backbone.image(images)
        features_BF = features.to(self.backbone.logit_scale.dtype)
        return self._unit_length(self.backbone.projection(features_BF))

    def forward(
        self, images: Tensor | None = None, features: Tensor | None = None, rank_features: Tensor | None = None
    ) -> Output:
        """Logits [B, R] of pixels or tower features, with what they were made of.

        Args:
            images: see `image_features`.
            features: see `image_features`.
            rank_features: from `rank_features()`, where they are known already; None: computed here, once.
        """
        rank_features_RD = self.rank_features() if rank_features is None else rank_features
        image_features_BD = self.image_features(images, features)
        scale = self.backbone.logit_scale.exp()
        # In full precision whatever the trainer's: times 100, bfloat16's rounding of a cosine is as large as the
        # differences between neighbouring ranks.
        with torch.autocast(scale.device.type, enabled=False):
            logits_BR = scale * image_features_BD @ rank_features_RD.T
        return Output(logits_BR, image_features_BD, rank_features_RD, scale)

    def parts(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Every parameter with its full name, in the part that it is trained or frozen with; parts may be empty.

        Raises:
            RuntimeError: a parameter belongs to no part or to several, so that freezing would be incomplete.
        """
        in_prompt = dict(self._prompt_module.named_parameters())
        prompt_parts = self.prompt.parts()
        backbone = self.backbone
        parts = {
            part: [(f"prompt.{name}", in_prompt[name]) for name in prompt_parts.get(part, [])]
            for part in ("context", "rank", "head")
        }
        parts["projection"] = list(_named(backbone.projection, "backbone.projection"))
        parts["image"] = list(_named(backbone.image, "backbone.image"))
        parts["text"] = list(_named(self._text_module, "backbone.text"))
        parts["logit_scale"] = [("backbone.logit_scale", backbone.logit_scale)]
        named = sorted(name for part in parts.values() for name, _ in part)
        if named != sorted(name for name, _ in self.named_parameters()):
            every = {name for name, _ in self.named_parameters()}
            raise RuntimeError(f"parameters in no part or in several: {sorted(every.symmetric_difference(named))}")
        return parts

    def train(self, mode: bool = True) -> "OrdinalCLIP":
        """Switch between training and evaluation, frozen parts excepted; see the class."""
        super().train(mode)
        for module in (self.backbone.image, self._text_module, self.backbone.projection, self._prompt_module):
            if not _any_trainable(module.parameters()):
                module.eval()
        return self

    def _unit_length(self, features: Tensor) -> Tensor:
        return F.normalize(features.to(self.backbone.logit_scale.dtype), dim=-1)

    @property
    def _prompt_module(self) -> nn.Module:
        return cast(nn.Module, self.prompt)

    @property
    def _text_module(self) -> nn.Module:
        return cast(nn.Module, self.backbone.text)


def _named(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Parameter]]:
    return module.named_parameters(prefix=prefix)


def _any_trainable(parameters: Iterable[torch.nn.Parameter]) -> bool:
    return any(parameter.requires_grad for parameter in parameters)
