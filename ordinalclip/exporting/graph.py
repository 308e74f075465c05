"""The model as one graph, for ONNX or torch.export: preprocessed pixels in, logits and probabilities out.

onnx is imported only where an ONNX file is written: it is an optional dependency (`ordinalclip[export]`).
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ordinalclip.inference.model import ImageRanker

_MAX_BATCH = 4096


class Graph(nn.Module):
    """The exported module. B images, R ranks.

    Args:
        ranker: Image tower and rank features of the run.
        temperature: Divides the logits before the softmax; 1 if the run was not calibrated.
        half: Compute in float16. Inputs and outputs stay float32.
    """

    def __init__(self, ranker: ImageRanker, temperature: float, *, half: bool = False) -> None:
        super().__init__()
        self.ranker = ranker.half() if half else ranker
        self.temperature, self.half_precision = temperature, half

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits and calibrated probabilities [B, R] of preprocessed pixels [B, 3, H, W], all float32."""
        logits_BR = self.ranker(images.half() if self.half_precision else images).float()
        return logits_BR, (logits_BR / self.temperature).softmax(-1)


def export_onnx(graph: Graph, size: int, file: Path) -> None:
    """Writes an ONNX file with a dynamic batch size. The weights are stored in the file."""
    import onnx

    images = torch.zeros(2, 3, size, size)
    batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
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
    """Writes a torch.export archive with a dynamic batch size."""
    batch = torch.export.Dim("batch", min=1, max=_MAX_BATCH)
    images = torch.zeros(2, 3, size, size)
    program = torch.export.export(graph.eval(), (images,), dynamic_shapes={"images": {0: batch}})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No complete tensor found")  # views on GPUs
        torch.export.save(program, file)
