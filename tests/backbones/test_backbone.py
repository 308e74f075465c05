import torch

from ordinalclip.backbones.backbone import LinearProjection, ResidualAdapter


def test_an_adapter_starts_at_the_towers_direction() -> None:
    adapter = ResidualAdapter(feature_dim=6, embed_dim=6, width=4, share=0.5)
    features = torch.randn(5, 6)
    cosine = torch.nn.functional.cosine_similarity(adapter(features), features)
    torch.testing.assert_close(cosine, torch.ones(5))
    torch.testing.assert_close(adapter(features), adapter(7 * features))  # a tower's scale does not matter


def test_an_adapter_equals_its_formula() -> None:
    adapter = ResidualAdapter(feature_dim=6, embed_dim=6, width=4, share=0.5)
    torch.nn.init.normal_(adapter.up.weight)
    features = torch.randn(1, 6)
    unit = features / features.norm() * 6**0.5
    hidden = (adapter.down.weight @ unit[0] + adapter.down.bias).clamp(min=0)
    expected = unit[0] + 0.5 * (adapter.up.weight @ hidden + adapter.up.bias)
    torch.testing.assert_close(adapter(features)[0], expected)


def test_projections_reach_another_width_and_can_be_drawn_anew() -> None:
    for module in (
        LinearProjection(feature_dim=9, embed_dim=4),
        ResidualAdapter(feature_dim=9, embed_dim=4, width=3, share=1.0),
    ):
        assert module(torch.randn(2, 9)).shape == (2, 4)
        torch.manual_seed(1)
        module.reset_parameters()
        first = module(torch.ones(1, 9))
        module.reset_parameters()
        assert not torch.equal(module(torch.ones(1, 9)), first)
        torch.manual_seed(1)
        module.reset_parameters()
        assert torch.equal(module(torch.ones(1, 9)), first)
