"""What computes on a CUDA GPU: the same numbers as the CPU within rounding, and a resume to the bit.

Skipped where there is no GPU; the same code is tested on the CPU by the other files.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.bench.naive import whole_sentences
from ordinalclip.bench.text import random_text_tower, shared_prefix
from ordinalclip.bench.text_gpu import shared, trimmed
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.runs.run import Run, find_runs
from tests.conftest import Compose

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]
GPU = "trainer.accelerator=gpu"


Way = Callable[[CausalText, RankPrompt], Tensor]


def text_pass(device: str, way: Way, *, dtype: torch.dtype | None = None, num_ranks: int = 101) -> tuple[Tensor, ...]:
    """Rank features of ViT-B/16's text tower, unit length, and gradients to context and base ranks; on the CPU."""
    tower = random_text_tower("ViT-B-16")
    torch.manual_seed(1)
    names = [str(rank) for rank in range(num_ranks)]
    prompt = RankPrompt(
        text=tower, embed_dim=512, rank_names=names, rank_init="random", tokens_per_rank=1, num_context_tokens=10
    )
    tower.to(device)
    prompt.to(device)
    with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
        found = way(tower, prompt)
    features = F.normalize(found.float(), dim=-1)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2)).to(device)
    gradients = torch.autograd.grad((features * weights).sum(), list(prompt.parameters()))
    return tuple(tensor.detach().float().cpu() for tensor in (features, *gradients))


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_rank_features_and_gradients_are_those_of_the_cpu() -> None:
    expected = text_pass("cpu", whole_sentences)
    for way in (whole_sentences, trimmed, shared):
        for found, wanted in zip(text_pass("cuda", way), expected, strict=True):
            assert relative(found, wanted) < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_as_near_as_for_whole_sentences(dtype: torch.dtype) -> None:
    expected = text_pass("cpu", whole_sentences)
    whole = text_pass("cuda", whole_sentences, dtype=dtype)
    for way in (trimmed, shared):
        for found, other, wanted in zip(text_pass("cuda", way, dtype=dtype), whole, expected, strict=True):
            assert torch.isfinite(found).all()
            assert relative(found, wanted) < 1.5 * relative(other, wanted) + 1e-4


def test_thousands_of_ranks_are_run_in_chunks() -> None:
    for found, wanted in zip(
        text_pass("cuda", shared_prefix, num_ranks=3000), text_pass("cpu", shared_prefix, num_ranks=3000), strict=True
    ):
        assert relative(found, wanted) < 1e-4


def train(cfg: dict[str, Any], folder: Path, *, kill_at: tuple[int, int] | None = None) -> Run:
    path = folder / "cfg.json"
    path.write_text(json.dumps(cfg))
    place = [str(number) for number in kill_at] if kill_at is not None else []
    command = [sys.executable, "-m", "tests.interrupted_run", str(path), *place]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == (0 if kill_at is None else -9), done.stderr[-3000:]
    (run,) = find_runs(Path(cfg["paths"]["runs"]))
    return run


def lines(run: Run) -> dict[int, dict[str, float]]:
    return {line["epoch"]: line["values"] for line in run.metrics()}


@pytest.mark.parametrize(
    "options",
    [
        ("trainable.rank=0.05",),
        ("trainable.rank=0.05", "trainable.image=1e-3", "trainer.precision=bf16-mixed"),
    ],
    ids=["cached", "images"],
)
def test_a_killed_run_ends_as_if_nothing_had_happened(
    compose_cfg: Compose, tmp_path: Path, options: tuple[str, ...]
) -> None:
    cfg = compose_cfg("epochs=4", "schedule=constant", "optimizer=adam", "seed=3", GPU, *options)
    train(cfg, tmp_path)
    shutil.move(cfg["paths"]["runs"], tmp_path / "whole")
    (whole,) = find_runs(tmp_path / "whole")
    train(cfg, tmp_path, kill_at=(2, 1))
    resumed = train(cfg, tmp_path)
    assert resumed.status()["attempt"] == 2
    assert resumed.status()["device"] == torch.cuda.get_device_name(0)
    assert lines(resumed) == lines(whole)
    for name in ("best_checkpoint", "last_checkpoint"):
        one, other = (torch.load(getattr(r, name), map_location="cpu", weights_only=True) for r in (whole, resumed))
        for key, tensor in one["state_dict"].items():
            assert torch.equal(tensor, other["state_dict"][key]), (name, key)
    assert whole.read_json("test_stats.json") == resumed.read_json("test_stats.json")


@pytest.mark.parametrize("prompt", ["rank", "context", "linear", "linear_interpolated"])
def test_a_run_scores_as_on_the_cpu(compose_cfg: Compose, tmp_path: Path, prompt: str) -> None:
    scores = []
    for device in ("cpu", "gpu"):
        (tmp_path / device).mkdir()
        cfg = compose_cfg(f"prompt={prompt}", f"trainer.accelerator={device}", "optimizer=adam", "lr=0.01")
        cfg["paths"]["runs"] = str(tmp_path / device / "runs")
        scores.append(train(cfg, tmp_path / device).read_json("test_stats.json") or {})
    for name in ("test/mae", "test/rps"):
        assert scores[1][name] == pytest.approx(scores[0][name], abs=0.02)


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_a_growing_logit_scale_stays_finite(compose_cfg: Compose, tmp_path: Path, precision: str) -> None:
    cfg = compose_cfg("trainable.logit_scale=0.5", "epochs=8", "optimizer=adam", GPU, f"trainer.precision={precision}")
    run = train(cfg, tmp_path)
    assert run.state() == "finished"
    assert all(abs(values["train/loss"]) < 1e6 for values in lines(run).values() if "train/loss" in values)


def test_a_compiled_image_tower_trains(compose_cfg: Compose, tmp_path: Path) -> None:
    cfg = compose_cfg("trainable.image=1e-4", "compile=true", GPU, "trainer.precision=bf16-mixed", "epochs=2")
    assert train(cfg, tmp_path).state() == "finished"
