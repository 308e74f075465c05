"""Which parts of a graph get eight bits, and what that costs, on towers made here."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from ordinalclip.exporting.graph import Graph, export_onnx
from ordinalclip.exporting.quantize import quantize
from ordinalclip.inference.model import ImageRanker

pytestmark = pytest.mark.slow


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2),
        nn.ReLU6(),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.ReLU6(),
        nn.Conv2d(16, 64, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def of_matrices() -> nn.Module:
    """Both forms that the exporter writes: a MatMul [in, out] and, where one vector an image is left, a Gemm."""
    patches = nn.Conv2d(3, 64, 8, stride=8)
    return nn.Sequential(patches, nn.Flatten(2), Last(64, 256), nn.GELU(), Last(256, 64), Mean(), nn.Linear(64, 64))


class Last(nn.Linear):
    """Linear over the axis before the last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Mean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(-1)


def both(tower: nn.Module, folder: Path) -> tuple[Path, Path, np.ndarray]:
    """The graph as it is and in eight bits, and images."""
    torch.manual_seed(0)
    ranker = ImageRanker(tower, nn.Linear(64, 64), F.normalize(torch.randn(5, 64), dim=-1), torch.tensor(20.0)).eval()
    whole, small = folder / "whole.onnx", folder / "small.onnx"
    export_onnx(Graph(ranker.requires_grad_(False), 1.0), 32, whole)
    pixels = np.random.default_rng(0).normal(size=(32, 3, 32, 32)).astype(np.float32)
    quantize(whole, small, pixels)
    onnx.checker.check_model(str(small))
    return whole, small, pixels


def probs(file: Path, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["probs"], {"images": pixels})[0]
    return found


def test_convolutions_but_the_first_and_the_depthwise_ones_compute_in_eight_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole, small, pixels = both(convolutional(), tmp_path)
    graph = onnx.load(small).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    kinds = [made_by.get(node.input[1]) for node in graph.node if node.op_type == "Conv"]
    assert sorted(map(str, kinds)) == ["DequantizeLinear", "None", "None"]
    assert np.abs(probs(whole, pixels) - probs(small, pixels)).max() < 0.05


def test_matrices_of_the_tower_are_stored_in_eight_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower = of_matrices()
    whole, small, pixels = both(tower, tmp_path)
    graph = onnx.load(small).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = [linear.weight.detach().numpy() for linear in tower if isinstance(linear, nn.Linear)]
    restored = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    assert len(restored) == len(weights) == 3  # not the projection's
    for node in restored:
        bits, scale = stored[node.input[0]], stored[node.input[1]]
        assert bits.dtype == np.int8
        scale = np.expand_dims(scale, 1 - node.attribute[0].i)
        near = [np.abs(bits * scale - way) / scale for w in weights for way in (w, w.T) if way.shape == bits.shape]
        assert min(rounded.max() for rounded in near) < 0.501  # of a step
    assert small.stat().st_size < 0.6 * whole.stat().st_size  # what is behind the tower, and the graph itself, stay
    assert np.abs(probs(whole, pixels) - probs(small, pixels)).max() < 0.02
