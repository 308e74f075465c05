"""Prompts and text towers over two processes, each with its own share of the loss, get the gradients of one."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ordinalclip.backbones.towers.openclip_text import tower_with_words
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.text.encoding import encode_prompts
from tests import warm
from tests.backbones.makers import tiny_clip

KINDS = {
    "shared prefix": {},
    "padded": {"no_causal_mask": True, "pool_type": "last"},
    "class token": {"embed_cls": True},
}


class Features(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        import open_clip

        clip = tiny_clip(custom_text=True, **KINDS[kind])
        self.tower = tower_with_words(clip.text, open_clip.SimpleTokenizer())
        torch.manual_seed(1)
        names = [str(rank) for rank in range(5)]
        self.prompt = RankPrompt(num_context_tokens=4, rank_names=names, text=self.tower, embed_dim=12)

    def forward(self) -> Tensor:
        return encode_prompts(self.tower, self.prompt())


def gradients(module: nn.Module, weighting: Tensor) -> dict[str, Tensor]:
    (module() * weighting).sum().backward()
    inner = module.module if isinstance(module, DistributedDataParallel) else module
    return {name: p.grad for name, p in inner.named_parameters() if p.grad is not None}


def work(process: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2)
    found = {}
    for kind in KINDS:
        # Prompts hold their own embeddings of words; only padding is looked up in the tower.
        parallel = DistributedDataParallel(Features(kind), find_unused_parameters=True)
        found[kind] = gradients(parallel, weightings()[process])
    torch.save(found, Path(folder) / f"{process}.pt")
    dist.destroy_process_group()


def weightings() -> Tensor:
    return torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(2))


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    warm.together(work, 2, tmp_path)
    for kind in KINDS:
        expected = gradients(Features(kind), weightings().mean(0))
        assert "prompt.base_ranks" in expected
        for process in range(2):
            found = torch.load(tmp_path / f"{process}.pt")[kind]
            assert {*expected} <= {*found}
            for name, tensor in expected.items():
                assert (found[name] - tensor).norm() <= 1e-5 * tensor.norm() + 1e-7, (kind, name)
