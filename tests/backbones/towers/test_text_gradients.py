"""Gradients of every kind of text tower against open_clip's own `encode_text` on whole sentences of full length.

The reference gets token ids that say where sentences end and where padding is, and a hook that puts the prompt's
embeddings in the place of the words'.
"""

import copy
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.backbones.towers.openclip_text import text_tower_of
from ordinalclip.bench.measure import kept_bytes
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.text.encoding import PromptTokens, TextTower, encode_prompts, run_whole
from tests.backbones.architectures import small_model

MODELS = {
    "ViT-B-16": "CLIP",
    "ViT-L-14-worldwide": "CLIP with mT5's words",
    "ViT-B-16-SigLIP": "SigLIP",
    "ViT-H-14-CLIPA": "CLIPA",
    "MobileCLIP-S1": "MobileCLIP",
    "coca_ViT-B-32": "CoCa",
    "xlm-roberta-base-ViT-B-32": "XLM-R",
    "mt5-base-ViT-B-32": "mT5",
    "nllb-clip-base": "NLLB",
}
Load = Callable[[str], tuple[Any, Any]]
NAMES = ["1", "2", "3", "4", "5"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """Models and our towers on the same weights, each made once."""
    made = {}
    for model in MODELS:
        clip, name, folder = small_model(model, tmp_path_factory.mktemp(model))
        made[model] = clip, text_tower_of(clip, name, folder)
    return made


@pytest.fixture
def load(built: dict[str, tuple[Any, Any]]) -> Callable[[str], tuple[Any, Any]]:
    """A copy of a model and its tower; copied together, they still share their weights."""
    return lambda model: copy.deepcopy(built[model])


def make_prompt(tower: TextTower, **options: Any) -> RankPrompt:
    torch.manual_seed(1)
    settings: dict[str, Any] = {"num_context_tokens": 4, "rank_names": NAMES, "text": tower, "embed_dim": 12}
    prompt = RankPrompt(**settings | options)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.normal_()
    return prompt.to(next(cast(nn.Module, tower).parameters()).dtype)


def encode_naively(clip: Any, tower: Any, tokens: PromptTokens) -> Tensor:
    """Features by open_clip: all its layers, all positions, all sentences."""
    source = getattr(clip, "text", clip)
    words = source.token_embedding if hasattr(source, "token_embedding") else source.transformer.get_input_embeddings()
    position = torch.arange(tower.context_length)
    ids = torch.where(position <= tokens.eot[:, None], 7, tower.pad_id)
    ids[torch.arange(len(ids)), tokens.eot] = tower.suffix_ids[-1]
    missing = tower.context_length - tokens.embeddings.shape[1]
    sentences = F.pad(tokens.embeddings, (0, 0, 0, missing))

    def replace(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return torch.where((position <= tokens.eot[:, None])[..., None], sentences, output)

    handle = words.register_forward_hook(replace)
    try:
        return clip.encode_text(ids, normalize=False)
    finally:
        handle.remove()


def results(features: Tensor, **modules: nn.Module) -> dict[str, Tensor]:
    """Features, and gradients of a weighting of them by parameter; zeros where there is none."""
    weighting = torch.randn(features.shape, generator=torch.Generator().manual_seed(2)).to(features.dtype)
    named = {f"{key} {name}": p for key, module in modules.items() for name, p in module.named_parameters()}
    found = torch.autograd.grad((features * weighting).sum(), [*named.values()], allow_unused=True)
    gradients = {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}
    return {"features": features.detach()} | gradients


def assert_near(ours: dict[str, Tensor], expected: dict[str, Tensor], relative: float) -> None:
    # Some gradients are 0 but for rounding: those of a key's bias, of padding nobody sees.
    floor = 1e-3 * max(float(tensor.norm()) for name, tensor in expected.items() if name != "features")
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (ours[name] - tensor).norm() <= relative * max(float(tensor.norm()), floor), name


TAIL: dict[str, Any] = {}
FRONT: dict[str, Any] = {"rank_position": "front", "tokens_per_rank": 3}


@pytest.mark.parametrize("model", MODELS, ids=MODELS.values())
@pytest.mark.parametrize(
    ("options", "dtype", "relative"),
    [(TAIL, torch.float32, 1e-5), (FRONT, torch.float32, 1e-5), (TAIL, torch.float64, 1e-10)],
    ids=["tail", "front", "tail-64"],
)
def test_features_and_gradients_equal_open_clips(
    model: str, options: dict[str, Any], dtype: torch.dtype, relative: float, load: Load
) -> None:
    clip, tower = load(model)
    clip.to(dtype)
    tower.to(dtype)
    prompt = make_prompt(tower, **options)
    expected = results(encode_naively(clip, tower, prompt()), prompt=prompt, tower=tower)
    assert all(expected[f"prompt {name}"].norm() > 0 for name in ("base_ranks", "sentence.context"))
    assert_near(results(encode_prompts(tower, prompt()), prompt=prompt, tower=tower), expected, relative)


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "coca_ViT-B-32", "xlm-roberta-base-ViT-B-32", "ViT-B-16"])
def test_sentences_of_different_lengths(model: str, load: Load) -> None:
    clip, tower = load(model)
    eot = torch.tensor([7, 3, tower.context_length - 1, 5, 3])
    embeddings = torch.randn(5, tower.context_length, tower.width)
    embeddings[:, :2] = embeddings[0, :2]
    for rows in (slice(0, 5), slice(0, 2), slice(2, 3)):
        tokens = PromptTokens(embeddings[rows], eot[rows], 2)
        with torch.no_grad():
            expected = encode_naively(clip, tower, tokens)
            torch.testing.assert_close(encode_prompts(tower, tokens), expected, atol=1e-5, rtol=1e-5)
            length = int(eot[rows].max()) + 1
            torch.testing.assert_close(tower.encode(embeddings[rows, :length], eot[rows]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "coca_ViT-B-32", "nllb-clip-base"])
def test_gradcheck(model: str, load: Load) -> None:
    _, tower = load(model)
    tower.double()
    embeddings = torch.randn(2, 4, tower.width, dtype=torch.float64)
    embeddings[:, :2] = embeddings[0, :2]
    own = embeddings[:, 2:].clone().requires_grad_()

    def encode(own: Tensor) -> Tensor:
        tokens = PromptTokens(torch.cat([embeddings[:, :2], own], 1), torch.tensor([3, 2]), 2)
        return encode_prompts(tower, tokens)

    assert torch.autograd.gradcheck(encode, own, fast_mode=True)


@pytest.mark.parametrize("model", MODELS, ids=MODELS.values())
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_as_near_as_it_is_for_open_clip(model: str, dtype: torch.dtype, load: Load) -> None:
    clip, tower = load(model)
    prompt = make_prompt(tower)
    exact = results(encode_naively(clip, tower, prompt()), prompt=prompt)
    with torch.autocast("cpu", dtype):
        theirs = results(encode_naively(clip, tower, prompt()).float(), prompt=prompt)
        ours = results(encode_prompts(tower, prompt()).float(), prompt=prompt)
    for name, tensor in exact.items():
        error, allowed = ((other[name] - tensor).norm() / tensor.norm() for other in (ours, theirs))
        assert 0 < error < 3 * allowed, name


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "coca_ViT-B-32", "mt5-base-ViT-B-32"])
@pytest.mark.parametrize("max_tokens", [1, 130, 10_000])
def test_chunks_change_nothing(model: str, max_tokens: int, load: Load) -> None:
    _, tower = load(model)
    prompt = make_prompt(tower)
    tokens = prompt()
    whole = results(tower.encode(tokens.embeddings, tokens.eot), prompt=prompt, tower=tower)
    tokens = prompt()
    chunked = run_whole(tower.encode, tokens.embeddings, tokens.eot, length=64, max_tokens=max_tokens)
    assert_near(results(chunked, prompt=prompt, tower=tower), whole, 1e-6)


def test_dropout_draws_the_same_when_computed_again() -> None:
    dropout, linear = nn.Dropout(0.5), nn.Linear(8, 8)

    def encode(embeddings: Tensor, eot: Tensor) -> Tensor:
        return dropout(linear(embeddings[torch.arange(len(eot)), eot]))

    embeddings = torch.randn(6, 3, 8)
    features = run_whole(encode, embeddings, torch.ones(6, dtype=torch.long), length=3, max_tokens=6)
    assert 0 < int(features.eq(0).sum()) < features.numel()
    (gradient,) = torch.autograd.grad(features.sum(), linear.bias)
    torch.testing.assert_close(gradient, 2.0 * features.ne(0).sum(0))


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "coca_ViT-B-32", "xlm-roberta-base-ViT-B-32"])
def test_memory_hardly_grows_with_the_ranks(model: str, load: Load) -> None:
    _, tower = load(model)

    def kept(num_ranks: int) -> int:
        embeddings = torch.randn(num_ranks, 40, tower.width, requires_grad=True)
        tokens = PromptTokens(embeddings, torch.full((num_ranks,), 39), 0)
        return kept_bytes(lambda: encode_prompts(tower, tokens), tower)

    # What does grow are the sentences themselves.
    assert kept(600) / 600 < kept(50) / 50 / 8
