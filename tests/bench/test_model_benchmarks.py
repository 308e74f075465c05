"""Benchmarks of whole models, on a tiny one: that all ways compute the same, and what their rows say."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from ordinalclip.backbones.load import load_backbone
from ordinalclip.bench import evaluation, finetune
from ordinalclip.config.schema import PARTS
from ordinalclip.model import OrdinalCLIP
from ordinalclip.optimizers.parameter_groups import freeze
from ordinalclip.prompts.rank import RankPrompt

TINY = {"_target_": "ordinalclip.backbones.tiny.build_tiny", "width": 16, "embed_dim": 16, "weights": "random"}


def build_model(name: str, num_ranks: int, *, trained: Sequence[str], cache_dir: Path) -> OrdinalCLIP:
    trainable = {part: 1e-4 if part in trained else None for part in PARTS}
    backbone = load_backbone(TINY, trainable=trainable, cache_dir=cache_dir, seed=0)
    torch.manual_seed(0)
    names = [str(rank) for rank in range(num_ranks)]
    model = OrdinalCLIP(backbone, RankPrompt(text=backbone.text, embed_dim=16, rank_names=names))
    freeze(model, trainable)
    return model.train()


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (evaluation, finetune):
        monkeypatch.setattr(module, "build_model", build_model)
    monkeypatch.setattr(finetune, "speed_up", lambda tower, compiled: None)


@pytest.mark.slow
def test_fine_tuning_steps() -> None:
    peaks = {torch.float32: 1e12, torch.bfloat16: 2e12}
    rows = {row["ours"]: row for row in finetune.measure_step("tiny", 5, 4, 1, peaks)}
    assert list(rows) == [
        "float32",
        "float32, without text",
        "bfloat16",
        "bfloat16, compiled",
        "bfloat16, without text",
    ]
    assert float(rows["float32"]["gradients differ by"] or 0) < 1e-5
    assert 1e-4 < float(rows["bfloat16"]["gradients differ by"] or 0) < 1
    assert rows["float32, without text"]["gradients differ by"] is None
    operations = {
        what: float(row["share of the peak"] or 0) * float(row["ours, s"] or 0) * (1 if "float32" in str(what) else 2)
        for what, row in rows.items()
    }
    assert operations["float32"] == pytest.approx(operations["bfloat16"])
    assert 0 < operations["float32, without text"] < operations["float32"]


def test_evaluation_passes() -> None:
    rows = {row["ours runs on"]: row for row in evaluation.measure_pass("tiny", 5, 8, 1)}
    assert list(rows) == ["images", "images, without text", "cached features"]
    assert all(float(row["differs by"] or 0) < 1e-6 for row in rows.values())
