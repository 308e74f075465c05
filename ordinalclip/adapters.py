"""Trainable steps from an image tower's features [B, F] to the space that text is in [B, D]: the part "projection"."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LinearProjection(nn.Module):
    """A linear map from F to D without bias, as CLIP's own towers end in one (Radford et al., ICML 2021).

    Args:
        feature_dim: F.
        embed_dim: D.
    """

    def __init__(self, *, feature_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, embed_dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new weights N(0, 1/F), from torch's global generator."""
        nn.init.normal_(self.linear.weight, std=self.linear.in_features**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] → [B, D]."""
        return self.linear(features)


class LastLayer(nn.Module):
    """The last layer of a network that was trained without text, F to D without bias, as the paper replaces it.

    Args:
        feature_dim: F.
        embed_dim: D.
        initial: weight [D, F] to start from; None draws it.
    """

    def __init__(self, *, feature_dim: int, embed_dim: int, initial: Tensor | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, embed_dim, bias=False)
        self.initial = initial  # no buffer: it belongs to the weights' file, not to a checkpoint
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Goes back to the initial weight, or draws N(0, 1/D) from torch's global generator.

        Kaiming's rule (He et al., ICCV 2015) by fan out and without a rectifier's gain, as in all image encoders of the
        paper's code.
        """
        if self.initial is None:
            nn.init.kaiming_normal_(self.linear.weight, mode="fan_out", nonlinearity="linear")
            return
        with torch.no_grad():
            self.linear.weight.copy_(self.initial)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] → [B, D]."""
        return self.linear(features)


class ResidualAdapter(nn.Module):
    """v' = v + α · A(v), with A a two-layer perceptron that starts at zero, so that training starts from the tower.

    After "CLIP-Adapter" (Gao et al., IJCV 2024), which mixes α A(v) + (1 - α) v; adding keeps v whatever A has learned.
    Features are brought to the same length before A, since towers differ in scale.

    Args:
        feature_dim: F. Where it is not D, v is a linear map of the features, trained with the rest.
        embed_dim: D.
        width: of the hidden layer.
        share: α.
    """

    def __init__(self, *, feature_dim: int, embed_dim: int, width: int, share: float) -> None:
        super().__init__()
        self.share = share
        same = feature_dim == embed_dim
        self.linear = None if same else LinearProjection(feature_dim=feature_dim, embed_dim=embed_dim)
        self.down = nn.Linear(embed_dim, width)
        self.up = nn.Linear(width, embed_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first layers from torch's global generator and sets the last one to zero."""
        if self.linear is not None:
            self.linear.reset_parameters()
        self.down.reset_parameters()
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] → [B, D]; of length sqrt(D) before the residual is added."""
        values = features if self.linear is None else self.linear(features)
        unit = F.normalize(values, dim=-1) * values.shape[-1] ** 0.5
        return unit + self.share * self.up(F.relu(self.down(unit)))


class Perceptron(nn.Module):
    """v = B · relu(A f + a): a perceptron with one hidden layer, for features too many for a matrix [D, F].

    Features are brought to the length sqrt(F) before A, since towers differ in scale. B has no bias.

    Args:
        feature_dim: F.
        embed_dim: D.
        width: of the hidden layer.
    """

    def __init__(self, *, feature_dim: int, embed_dim: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(feature_dim, width)
        self.up = nn.Linear(width, embed_dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new weights from torch's global generator: A by torch's own rule, B from N(0, 1/width)."""
        self.down.reset_parameters()
        nn.init.normal_(self.up.weight, std=self.up.in_features**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] → [B, D]."""
        unit = F.normalize(features, dim=-1) * features.shape[-1] ** 0.5
        return self.up(F.relu(self.down(unit)))
