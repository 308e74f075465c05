"""The model as one graph: preprocessed pixels in, logits and calibrated probabilities out."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ordinalclip.inference.ranker import ImageRanker


class Graph(nn.Module):
    """What is exported. B images, R ranks.

    Args:
        ranker: of the run.
        temperature: logits are divided by it before the softmax; 1 where nothing was calibrated.
        half: compute in float16; inputs and outputs stay float32.
    """

    def __init__(self, ranker: ImageRanker, temperature: float, *, half: bool = False) -> None:
        super().__init__()
        self.ranker = ranker.half() if half else ranker
        self.temperature, self.half_precision = temperature, half

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, R] and probabilities [B, R], float32, of preprocessed pixels [B, 3, H, W], float32."""
        logits_BR = self.ranker(images.half() if self.half_precision else images).float()
        return logits_BR, (logits_BR / self.temperature).softmax(-1)


def export_onnx(graph: Graph, size: int, file: Path) -> None:
    """Writes an ONNX graph with a free batch size, its weights inside."""
    import onnx

    images = torch.zeros(2, 3, size, size)
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.onnx.export(
        graph.eval(),
        (images,),
        input_names=["images"],
        output_names=["logits", "probs"],
        dynamic_shapes={"images": {0: batch}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(str(file), external_data=False)
    onnx.checker.check_model(str(file))


def export_torch(graph: Graph, size: int, file: Path) -> None:
    """Writes an archive of torch.export with a free batch size."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    images = torch.zeros(2, 3, size, size)
    program = torch.export.export(graph.eval(), (images,), dynamic_shapes={"images": {0: batch}})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No complete tensor found")  # of views, on GPUs
        torch.export.save(program, file)
