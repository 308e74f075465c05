import pytest
import torch
from torch import nn

from ordinalclip.config.schema import PARTS
from ordinalclip.model import OrdinalCLIP
from ordinalclip.prompts.context import ContextPrompt
from ordinalclip.prompts.fixed import FixedPrompt
from ordinalclip.prompts.linear import LinearPrompt
from ordinalclip.prompts.rank import RankPrompt
from tests.fakes import FakeBackbone

PROMPTS = {
    "rank": (RankPrompt, {"context": "the age is"}),
    "context": (ContextPrompt, {"context": "the age is"}),
    "fixed": (FixedPrompt, {"context": "the age is"}),
    "linear": (LinearPrompt, {}),
}
NAMES = ["new", "4", "16", "64", "256"]


def build_model(prompt="rank"):
    torch.manual_seed(0)
    backbone = FakeBackbone()
    cls, options = PROMPTS[prompt]
    return OrdinalCLIP(backbone, cls(text=backbone.text, embed_dim=6, rank_names=NAMES, **options))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_logits_are_scaled_cosines(prompt):
    model = build_model(prompt).eval()
    images = torch.randn(4, 3, 8, 8)
    output = model(images)
    ranks = (
        model.prompt()
        if prompt == "linear"
        else model.backbone.text.encode(model.prompt().embeddings, model.prompt().eot)
    )
    projected = model.backbone.projection(model.backbone.image(images))
    for b in range(4):
        for r in range(5):
            cosine = torch.cosine_similarity(projected[b], ranks[r], dim=0)
            assert output.logits[b, r].item() == pytest.approx(torch.e**2 * cosine.item(), abs=1e-4)
    assert output.logit_scale.item() == pytest.approx(torch.e**2)
    for features in (output.image_features, output.rank_features):
        torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features)))


def test_cached_features_and_known_rank_features_give_the_same():
    model = build_model().eval()
    images = torch.randn(4, 3, 8, 8)
    features = model.backbone.image(images)
    expected = model(images).logits
    torch.testing.assert_close(model(features=features, rank_features=model.rank_features()).logits, expected)
    assert model(features=features.half()).logits.dtype == torch.float32


def test_cosines_keep_full_precision_under_autocast():
    model = build_model("linear").eval()
    features = torch.randn(4, 10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(features=features)
    assert output.logits.dtype == output.image_features.dtype == torch.float32
    exact = output.logit_scale.double() * output.image_features.double() @ output.rank_features.double().T
    torch.testing.assert_close(output.logits.double(), exact, atol=1e-5, rtol=0)


def test_rank_features_are_computed_once_a_forward_or_not_at_all(monkeypatch):
    model = build_model().eval()
    calls = []
    encode = model.backbone.text.encode
    monkeypatch.setattr(model.backbone.text, "encode", lambda *args: calls.append(1) or encode(*args))
    known = model(torch.randn(4, 3, 8, 8)).rank_features
    assert len(calls) == 1
    model(torch.randn(4, 3, 8, 8), rank_features=known)
    assert len(calls) == 1


def test_either_images_or_features():
    model = build_model()
    with pytest.raises(ValueError, match="either"):
        model()
    with pytest.raises(ValueError, match="either"):
        model(torch.randn(1, 3, 8, 8), torch.randn(1, 10))


@pytest.mark.parametrize(
    ("prompt", "own"),
    [
        ("rank", {"context": ["prompt.sentence.context"], "rank": ["prompt.base_ranks"]}),
        ("context", {"context": ["prompt.sentence.context"], "rank": ["prompt.rank_tokens"]}),
        ("fixed", {}),
        ("linear", {"head": ["prompt.weight"]}),
    ],
)
def test_every_parameter_is_in_one_part(prompt, own):
    model = build_model(prompt)
    parts = model.parts()
    assert tuple(parts) == PARTS
    for part in ("context", "rank", "head"):
        assert [name for name, _ in parts[part]] == own.get(part, [])
    named = dict(model.named_parameters())
    in_parts = [pair for part in parts.values() for pair in part]
    assert len(in_parts) == len(named)
    assert all(named[name] is parameter for name, parameter in in_parts)


def test_a_parameter_without_a_part_is_found():
    model = build_model()
    model.backbone.extra = nn.Parameter(torch.zeros(1))
    with pytest.raises(RuntimeError, match=r"backbone.extra"):
        model.parts()


def test_frozen_parts_stay_in_eval_mode():
    model = build_model()
    model.backbone.image.requires_grad_(False)
    model.train()
    assert model.training
    assert model.backbone.text.dropout.training
    assert not any(module.training for module in model.backbone.image.modules())
    images = torch.randn(16, 3, 8, 8)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    first, second = model(images).image_features, model(images).image_features
    assert torch.equal(first, second)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    model.backbone.image.requires_grad_(True)
    assert model.train().backbone.image.training
    assert not any(module.training for module in model.eval().modules())


def test_a_wrapping_module_does_not_wake_frozen_parts():
    model = build_model()
    model.backbone.text.requires_grad_(False)
    nn.ModuleList([model]).train()
    assert not model.backbone.text.dropout.training
