"""Static int8 quantization of an exported ONNX graph: convolutions computed, weight matrices stored in int8."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

_TOWER_MODULE = "ranker.image"  # name of the image tower in `exporting.graph.Graph`
_MIN_WEIGHTS = 4096  # smaller matrices stay float32


def quantize(source: Path, target: Path, pixels: np.ndarray) -> None:
    """Writes an int8 version of an ONNX graph.

    - Convolutions compute in int8, with one scale per channel. The first convolution, which reads the image, and
      depthwise convolutions stay float32: without these two exceptions the probabilities of `mini` on ELPV change by
      0.12 on average instead of 0.03, and the file shrinks from 6.9 to 6.5 MB only.
    - Matrices of the image tower, nearly all weights of a ViT, are stored in int8 with one scale per output, and
      multiplied in float32.
    - The layers after the tower stay float32: a logit scale of 50 to 100 would turn the rounding error of a cosine
      into another rank.

    Args:
        source: Float32 graph written by `export_onnx`.
        target: Output file.
        pixels: Preprocessed images [N, 3, H, W] for the activation ranges. They must not be test images.
    """
    with tempfile.TemporaryDirectory() as folder:
        stored, prepared = Path(folder) / "stored.onnx", Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        convolutions = [node for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        excluded = [node.name for index, node in enumerate(convolutions) if index == 0 or _groups(node) > 1]
        if len(excluded) == len(convolutions):
            stored = source
        else:
            quantize_static(
                str(prepared),
                str(stored),
                _Batches(pixels),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=excluded,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        model = onnx.load(stored)
        _store_matrices(model.graph, _tower_matrices(onnx.load(source, load_external_data=False).graph))
        onnx.save(model, target)


class _Batches(CalibrationDataReader):
    """Images [N, 3, H, W] in batches of about eight."""

    def __init__(self, pixels_N3HW: np.ndarray) -> None:
        self.batches: Iterator[np.ndarray] = iter(np.array_split(pixels_N3HW, max(1, len(pixels_N3HW) // 8)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def _groups(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def _tower_matrices(graph: onnx.GraphProto) -> set[str]:
    """Returns the names of the tower's weight matrices, found by the module that the exporter records for each node."""
    tensors = {tensor.name for tensor in graph.initializer}
    inside = (
        node for node in graph.node if any(f"'{_TOWER_MODULE}'" in property_.value for property_ in node.metadata_props)
    )
    matrices = (node.input[1] for node in inside if node.op_type in ("MatMul", "Gemm"))
    return {name for name in matrices if name in tensors}


def _store_matrices(graph: onnx.GraphProto, names: set[str]) -> None:
    """Replaces each named matrix by int8 weights, one scale per output, and a DequantizeLinear node."""
    readers = {node.input[1]: node for node in graph.node if node.op_type in ("MatMul", "Gemm")}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in names and tensor.name in readers]:
        weights = numpy_helper.to_array(tensor)
        if weights.ndim != 2 or weights.size < _MIN_WEIGHTS:
            continue
        transposed = any(attribute.name == "transB" and attribute.i for attribute in readers[tensor.name].attribute)
        axis = 0 if transposed else 1  # of the outputs
        scale = np.maximum(np.abs(weights).max(axis=1 - axis), 1e-12) / 127
        bits = np.rint(weights / np.expand_dims(scale, 1 - axis)).astype(np.int8)
        graph.initializer.remove(tensor)
        for suffix, values in (("_int8", bits), ("_scale", scale.astype(np.float32))):
            graph.initializer.append(numpy_helper.from_array(values, tensor.name + suffix))
        parts = [f"{tensor.name}_int8", f"{tensor.name}_scale"]
        graph.node.insert(0, helper.make_node("DequantizeLinear", parts, [tensor.name], axis=axis))
