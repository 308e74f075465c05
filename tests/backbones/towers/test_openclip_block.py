import logging
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from ordinalclip.backbones.towers.openclip_causal import CausalText, split_blocks
from ordinalclip.text import encoding as text
from ordinalclip.text.encoding import PromptTokens, encode_prompts
from ordinalclip.text.shared_prefix import ALL, KEYS_VALUES, QUERIES
from tests.backbones.makers import tiny_clip


def test_the_parts_make_up_the_block() -> None:
    transformer = tiny_clip(ls_init_value=0.5).transformer
    blocks = split_blocks(transformer)
    assert blocks is not None
    x = torch.randn(5, 16)
    projected = blocks[0].project(x, ALL)
    assert projected.shape == (5, 3, 2, 8)
    torch.testing.assert_close(blocks[0].project(x, QUERIES), projected[:, :1])
    torch.testing.assert_close(blocks[0].project(x, KEYS_VALUES), projected[:, 1:])
    queries, keys, values = projected.unbind(1)
    weights = (torch.einsum("qhd,khd->hqk", queries, keys) / 8**0.5).softmax(-1)
    attended = torch.einsum("hqk,khd->qhd", weights, values)
    torch.testing.assert_close(blocks[0].finish(x, attended), transformer.resblocks[0](x[None])[0])


class Half(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / 2


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def subclassed(clip: Any) -> None:
    block = clip.transformer.resblocks[1]
    block.__class__ = type("Changed", (type(block),), {})


def adapted(clip: Any) -> None:
    clip.transformer.resblocks[1].attn.out_proj = Doubled(16, 16)


def parametrised(clip: Any) -> None:
    parametrize.register_parametrization(clip.transformer.resblocks[0].attn, "in_proj_weight", Half())


def with_dropout(clip: Any) -> None:
    clip.transformer.resblocks[0].attn.dropout = 0.5


@pytest.mark.parametrize("change", [subclassed, adapted, parametrised, with_dropout])
def test_blocks_of_an_unknown_kind_are_run_as_they_are(change: Any, caplog: pytest.LogCaptureFixture) -> None:
    check_run_as_it_is(tiny_clip(), change, caplog)


def test_open_clips_other_blocks_are_run_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    check_run_as_it_is(tiny_clip(qk_norm=True), lambda clip: None, caplog)


def check_run_as_it_is(clip: Any, change: Any, caplog: pytest.LogCaptureFixture) -> None:
    import open_clip

    tower = CausalText(clip, open_clip.SimpleTokenizer()).eval()
    change(clip)
    assert split_blocks(tower.transformer) is None
    embeddings = torch.randn(1, 6, 16).expand(3, -1, -1)
    eot = torch.tensor([5, 3, 4])
    text._said.clear()
    with torch.no_grad(), caplog.at_level(logging.INFO, "ordinalclip"):
        ours = [encode_prompts(tower, PromptTokens(embeddings, eot, 2)) for _ in range(2)]
        torch.testing.assert_close(ours[0], tower.encode(embeddings, eot))
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the text tower's Transformer is run a whole sentence per rank"
    ]
