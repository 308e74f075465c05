"""An ONNX graph in eight bits: weights and activations, their ranges seen on real images."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class _Images(CalibrationDataReader):
    def __init__(self, pixels_N3HW: np.ndarray) -> None:
        self.rest: Iterator[np.ndarray] = iter(np.array_split(pixels_N3HW, max(1, len(pixels_N3HW) // 8)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.rest, None)
        return None if batch is None else {"images": batch}


def quantize(source: Path, target: Path, pixels: np.ndarray) -> None:
    """Writes an int8 version of an ONNX graph.

    Convolutions are quantised, a scale a channel. Matrix products stay in float32: a logit scale of 50 to 100 behind
    them turns the rounding of a cosine into another rank.

    Args:
        source: the graph in float32.
        target: where to.
        pixels: preprocessed images [N, 3, H, W] that ranges are read off, none of them a test image.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Images(pixels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
