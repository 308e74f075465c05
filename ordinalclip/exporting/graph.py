"""The model as one graph, ONNX or torch.export: preprocessed pixels in, logits and calibrated probabilities out.

`quantize` writes an ONNX graph in eight bits: convolutions by ranges seen on real images, matrices by the ranges of
their weights.
"""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from ordinalclip.inference.model import ImageRanker

_TOWER = "ranker.image"  # of `Graph`: what is before the features
_SMALL = 4096  # weights; fewer are not worth the rounding


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


class _Images(CalibrationDataReader):
    def __init__(self, pixels_N3HW: np.ndarray) -> None:
        self.rest: Iterator[np.ndarray] = iter(np.array_split(pixels_N3HW, max(1, len(pixels_N3HW) // 8)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.rest, None)
        return None if batch is None else {"images": batch}


def quantize(source: Path, target: Path, pixels: np.ndarray) -> None:
    """Writes an int8 version of an ONNX graph.

    - Convolutions compute in eight bits, a scale a channel. Not the first one, which sees the image itself, nor those
      of a single channel, whose few weights have ranges that differ most: without the two, the probabilities of mini
      on ELPV are off by 0.03 in the mean instead of 0.12, in a file of 6.9 instead of 6.5 MB.
    - Matrices of the tower, which are nearly all of a ViT, are stored in eight bits, a scale an output, and multiplied
      in float32.
    - What is behind the tower stays as it is: a logit scale of 50 to 100 turns the rounding of a cosine into another
      rank.

    Args:
        source: the graph in float32, from `export_onnx`.
        target: where to.
        pixels: preprocessed images [N, 3, H, W] that ranges are read off, none of them a test image.
    """
    with tempfile.TemporaryDirectory() as folder:
        stored, prepared = Path(folder) / "stored.onnx", Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        convolutions = [node for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        kept = [node.name for place, node in enumerate(convolutions) if place == 0 or _groups(node) > 1]
        if len(kept) == len(convolutions):
            stored = source
        else:
            quantize_static(
                str(prepared),
                str(stored),
                _Images(pixels),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=kept,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        model = onnx.load(stored)
        _store_matrices(model.graph, _of_tower(onnx.load(source, load_external_data=False).graph))
        onnx.save(model, target)


def _groups(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def _of_tower(graph: onnx.GraphProto) -> set[str]:
    """Names of the tower's matrices. The exporter records the module of each node."""
    tensors = {tensor.name for tensor in graph.initializer}
    inside = (node for node in graph.node if any(f"'{_TOWER}'" in property_.value for property_ in node.metadata_props))
    matrices = (node.input[1] for node in inside if node.op_type in ("MatMul", "Gemm"))
    return {name for name in matrices if name in tensors}


def _store_matrices(graph: onnx.GraphProto, names: set[str]) -> None:
    """Puts eight bits and a scale an output in the place of each matrix."""
    used = {node.input[1]: node for node in graph.node if node.op_type in ("MatMul", "Gemm")}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in names and tensor.name in used]:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim != 2 or weights.size < _SMALL:
            continue
        across = any(attribute.name == "transB" and attribute.i for attribute in used[tensor.name].attribute)
        axis = 0 if across else 1  # of the outputs
        scale = np.maximum(np.abs(weights).max(axis=1 - axis), 1e-12) / 127
        bits = np.rint(weights / np.expand_dims(scale, 1 - axis)).astype(np.int8)
        graph.initializer.remove(tensor)
        for suffix, values in (("_int8", bits), ("_scale", scale.astype(np.float32))):
            graph.initializer.append(numpy_helper.from_array(values, tensor.name + suffix))
        parts = [f"{tensor.name}_int8", f"{tensor.name}_scale"]
        graph.node.insert(0, helper.make_node("DequantizeLinear", parts, [tensor.name], axis=axis))
