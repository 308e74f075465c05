"""The shared prefix against whole sentences of 77 tokens: features, and gradients to all that is learned."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize

from ordinalclip.backbones.towers.openclip_causal import CausalText, split_blocks
from ordinalclip.prompts.fixed import FixedPrompt
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.text import encoding as text
from ordinalclip.text.encoding import PromptTokens, encode_prompts
from ordinalclip.text.shared_prefix import ALL, KEYS_VALUES, QUERIES
from tests.backbones.makers import tiny_clip
from tests.compiler import needs_compiler

NAMES = [str(year) for year in range(1930, 1937)]
PROMPTS: dict[str, dict[str, Any]] = {
    "tail": {},
    "two tokens a rank": {"tokens_per_rank": 2, "rank_init": "random"},
    "front": {"rank_position": "front"},
    "middle": {"rank_position": "middle"},
    "a context for each rank": {"rank_specific_context": True},
    "no ending": {"ending": ""},
    "one rank": {"rank_names": ["1930"], "num_base_ranks": 1},
}


def make_tower(dtype: torch.dtype = torch.float32, sharpness: float = 1.0, layers: int = 3) -> CausalText:
    """The sharper the attention, the more do mistakes show, and rounding as well."""
    import open_clip

    clip = tiny_clip(layers=layers, heads=4)
    with torch.no_grad():
        for block in clip.transformer.resblocks:
            block.attn.in_proj_weight.mul_(sharpness)
    return CausalText(clip, open_clip.SimpleTokenizer()).eval().to(dtype)


def make_prompt(tower: CausalText, **options: Any) -> RankPrompt:
    torch.manual_seed(1)
    settings: dict[str, Any] = {"num_context_tokens": 4, "rank_names": NAMES, "text": tower, "embed_dim": 12}
    prompt = RankPrompt(**settings | options)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.normal_()
    return prompt.to(tower.positional_embedding.dtype)


def encode_whole(tower: CausalText, tokens: PromptTokens) -> Tensor:
    """Every sentence for itself, filled up to the tower's 77 tokens."""
    missing = tower.context_length - tokens.embeddings.shape[1]
    return tower.encode(F.pad(tokens.embeddings, (0, 0, 0, missing)), tokens.eot)


def results(features: Tensor, *modules: nn.Module) -> dict[str, Tensor]:
    """Features, and the gradients of a weighting of them by parameter; those of a key's bias are 0 but for rounding."""
    for module in modules:
        module.zero_grad()
    weighting = torch.randn(features.shape, generator=torch.Generator().manual_seed(2)).to(features.dtype)
    (features * weighting).sum().backward()
    found = {"features": features.detach()}
    for module in modules:
        found |= {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    return found


def assert_near(ours: dict[str, Tensor], expected: dict[str, Tensor], relative: float) -> None:
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (ours[name] - tensor).norm() <= relative * tensor.norm(), name


@pytest.mark.parametrize("options", PROMPTS.values(), ids=PROMPTS.keys())
@pytest.mark.parametrize(
    ("dtype", "sharpness", "relative"), [(torch.float32, 1, 1e-5), (torch.float64, 4, 1e-10)], ids=["32", "64"]
)
def test_features_and_gradients_equal_those_of_whole_sentences(
    options: dict[str, Any], dtype: torch.dtype, sharpness: float, relative: float
) -> None:
    tower = make_tower(dtype, sharpness)
    prompt = make_prompt(tower, **options)
    expected = results(encode_whole(tower, prompt()), prompt, tower)
    assert {"sentence.context", "base_ranks", "transformer.resblocks.2.attn.in_proj_weight"} < expected.keys()
    assert_near(results(encode_prompts(tower, prompt()), prompt, tower), expected, relative)


def test_the_prefix_is_what_the_position_of_the_rank_leaves() -> None:
    tower = make_tower()
    lengths = {name: make_prompt(tower, **options)().prefix_length for name, options in PROMPTS.items()}
    assert [lengths[name] for name in ("tail", "front", "middle", "a context for each rank")] == [5, 1, 3, 1]


@pytest.mark.parametrize("prefix_length", [0, 1, 3])
def test_sentences_of_different_lengths(prefix_length: int) -> None:
    tower = make_tower(torch.float64)
    eot = torch.tensor([7, 3, 9, 5, 3])
    embeddings = torch.randn(5, 12, tower.width, dtype=torch.float64)
    embeddings[:, :3] = embeddings[0, :3]
    embeddings.requires_grad_()
    given = []
    for encode in (encode_whole, encode_prompts):
        features = encode(tower, PromptTokens(embeddings, eot, prefix_length))
        (gradient,) = torch.autograd.grad(features.square().sum(), embeddings)
        # A prefix's gradients belong to all sentences together.
        given.append((features, gradient[:, :3].sum(0), gradient[:, 3:]))
    torch.testing.assert_close(given[0], given[1], atol=1e-10, rtol=1e-10)


def test_no_prefix_reaches_beyond_the_shortest_sentence() -> None:
    tower = make_tower()
    embeddings = torch.randn(1, 6, tower.width).expand(3, -1, -1)
    eot = torch.tensor([5, 2, 4])
    with torch.no_grad():
        ours = encode_prompts(tower, PromptTokens(embeddings, eot, 6))
        torch.testing.assert_close(ours, tower.encode(embeddings, eot), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_gradcheck() -> None:
    import open_clip

    clip = tiny_clip(layers=2, width=4, heads=2, vocab_size=8)
    tower = CausalText(clip, open_clip.SimpleTokenizer()).eval().double()
    embeddings = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    eot = torch.tensor([4, 3, 2])
    assert torch.autograd.gradcheck(lambda x: tower.encode_shared(x, eot, 2), embeddings)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_as_near_as_it_is_for_whole_sentences(dtype: torch.dtype) -> None:
    tower = make_tower()
    prompt = make_prompt(tower)
    exact = results(encode_whole(tower, prompt()), prompt)
    with torch.autocast("cpu", dtype):
        whole = results(encode_whole(tower, prompt()).float(), prompt)
        ours = results(encode_prompts(tower, prompt()).float(), prompt)
    for name, tensor in exact.items():
        error, allowed = ((other[name] - tensor).norm() / tensor.norm() for other in (ours, whole))
        assert 0 < error < 3 * allowed, name


@pytest.mark.parametrize("options", [{"proj_bias": True}, {"proj_type": "none"}, {"ls_init_value": 0.3}], ids=str)
def test_other_projections_and_layer_scale(options: dict[str, Any]) -> None:
    import open_clip

    clip = tiny_clip(custom_text=True, width=12, heads=2, **options)
    tower = CausalText(clip.text, open_clip.SimpleTokenizer()).eval()
    tokens = FixedPrompt(text=tower, embed_dim=tower.embed_dim, rank_names=NAMES, template="in {name}, or so")()
    assert tokens.prefix_length >= 2
    with torch.no_grad():
        theirs = clip.encode_text(open_clip.SimpleTokenizer()([f"in {name}, or so" for name in NAMES]))
        torch.testing.assert_close(encode_prompts(tower, tokens), theirs, atol=1e-5, rtol=1e-5)
    assert isinstance(tower.text_projection, nn.Linear) == ("proj_bias" in options)


def test_under_ddp_gradients_are_the_same(tmp_path: Path) -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower = make_tower()
            self.prompt = make_prompt(self.tower)
            # Prompts hold their own embeddings of words.
            self.tower.token_embedding.requires_grad_(False)

        def forward(self) -> Tensor:
            return encode_prompts(self.tower, self.prompt())

    alone = Features()
    expected = results(alone(), alone)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        together = DistributedDataParallel(Features())
        ours = results(together(), together.module)
    finally:
        dist.destroy_process_group()
    assert_near(ours, expected, 1e-6)


@pytest.mark.slow
def test_compiled_without_a_break() -> None:
    tower = make_tower()
    prompt = make_prompt(tower)

    def features() -> Tensor:
        tokens = prompt()
        return tower.encode_shared(tokens.embeddings, tokens.eot, tokens.prefix_length)

    expected = results(encode_prompts(tower, prompt()), prompt, tower)
    ours = results(torch.compile(features, backend="aot_eager", fullgraph=True)(), prompt, tower)
    torch._dynamo.reset()
    assert_near(ours, expected, 1e-5)


@pytest.mark.slow
@needs_compiler  # g++ takes 10 to 20 s for one layer's forward pass
@torch.no_grad()
def test_compiled_by_inductor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    tower = make_tower(layers=1)
    tokens = make_prompt(tower)()

    def features() -> Tensor:
        return tower.encode_shared(tokens.embeddings, tokens.eot, tokens.prefix_length)

    ours = torch.compile(features, backend="inductor", fullgraph=True)()
    torch._dynamo.reset()
    torch.testing.assert_close(ours, encode_prompts(tower, tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ViT-B-16", "ViT-B-16-quickgelu", "RN50", "ViT-L-14"])
def test_true_architectures_equal_open_clip_on_plain_sentences(model: str) -> None:
    import open_clip
    from open_clip.model import CLIP

    config = open_clip.get_model_config(model)
    # Their text towers; no image is looked at.
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    torch.manual_seed(0)
    clip = CLIP(config["embed_dim"], vision, config["text_cfg"], quick_gelu="quickgelu" in model).eval()
    tower = CausalText(clip, open_clip.SimpleTokenizer())
    names = ["1", "17", "one hundred and one", "99"]
    prompt = FixedPrompt(text=tower, embed_dim=1, rank_names=names, template="the age of the person is {name}.")
    assert prompt.prefix_length == 7
    with torch.no_grad():
        theirs = clip.encode_text(open_clip.SimpleTokenizer()([f"the age of the person is {name}." for name in names]))
        ours = encode_prompts(tower, prompt())
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


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
    text._logged.clear()
    with torch.no_grad(), caplog.at_level(logging.INFO, "ordinalclip"):
        ours = [encode_prompts(tower, PromptTokens(embeddings, eot, 2)) for _ in range(2)]
        torch.testing.assert_close(ours[0], tower.encode(embeddings, eot))
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the text tower's Transformer has unknown blocks"
    ]
