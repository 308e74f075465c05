"""The fitted step of "mini" from MiniLM's sentence embeddings into Lite0's feature space."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SENTENCE_WIDTH = 384
HIDDEN_WIDTH = 1024
FEATURE_WIDTH = 1280


class SentenceProjection(nn.Module):
    """Unit sentence embeddings [R, 384] → [R, 1280], a perceptron with one hidden layer.

    Args:
        dropout: of the hidden layer, while it is fitted; as a part of a backbone it has none.
    """

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(SENTENCE_WIDTH, HIDDEN_WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(HIDDEN_WIDTH, FEATURE_WIDTH)

    def forward(self, sentences: Tensor) -> Tensor:
        """Unit sentence embeddings [R, 384] → features [R, 1280], not normalised."""
        # Entries of about 1 instead of 1/sqrt(384), which is what the layers' initial weights are made for.
        scaled = sentences * SENTENCE_WIDTH**0.5
        return self.output(self.dropout(nn.functional.gelu(self.hidden(scaled))))


def load_projection(path: Path | None) -> SentenceProjection:
    """The projection in a safetensors file, in float32; None is random weights."""
    projection = SentenceProjection()
    if path is not None:
        projection.load_state_dict(load_file(path))  # copies the file's float16 into float32
    return projection


def save_projection(projection: SentenceProjection, path: Path) -> None:
    """Writes a projection in float16, half the size; cosines change by less than 1e-3."""
    state = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in projection.state_dict().items()}
    save_file(state, path)
