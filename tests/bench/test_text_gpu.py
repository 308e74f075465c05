from collections.abc import Iterator
from typing import Any

import pytest
import torch

from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.bench import text_gpu
from tests.backbones.makers import tiny_clip


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    import open_clip

    tower = CausalText(tiny_clip(), open_clip.SimpleTokenizer()).eval().requires_grad_(False)
    monkeypatch.setattr(text_gpu, "random_text_tower", lambda model: tower)
    return text_gpu.measure_precisions(5, torch.device("cpu"), rounds=1)


def test_precisions_are_compared_with_float32(rows: Iterator[dict[str, Any]]) -> None:
    float32, bfloat16, _ = rows
    assert (float32["precision"], bfloat16["precision"]) == ("float32", "bfloat16")
    for part in ("features", "gradients"):
        shared, naive = (float(word.strip("()")) for word in float32[f"{part} differ by"].split())
        assert shared < 1e-5
        assert naive == 0
        shared, naive = (float(word.strip("()")) for word in bfloat16[f"{part} differ by"].split())
        assert 1e-4 < shared < 0.1
        assert 1e-4 < naive < 0.1
    assert float32["times less memory"] > 4


def test_nothing_is_written_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert list(text_gpu.measure_text_gpu(quick=True)) == []
