import pytest
import torch

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.interpolation import Interpolation, interpolation_weights
from ordinalclip.prompts.linear_interpolated import LinearInterpolatedPrompt

NAMES = [str(rank) for rank in range(7)]


@pytest.mark.parametrize("interpolation", ["linear", "inv_prop", "normal", "piecewise"])
def test_rank_features_are_a_blend_of_base_features(interpolation: Interpolation) -> None:
    prompt = LinearInterpolatedPrompt(num_base_ranks=3, interpolation=interpolation, embed_dim=5, rank_names=NAMES)
    weights = interpolation_weights(interpolation, 7, 3)
    by_hand = [sum(weights[rank, k] * prompt.base_features[k] for k in range(3)) for rank in range(7)]
    torch.testing.assert_close(prompt(), torch.stack(by_hand))


def test_a_base_rank_of_piecewise_is_a_rank() -> None:
    prompt = LinearInterpolatedPrompt(num_base_ranks=3, interpolation="piecewise", embed_dim=5, rank_names=NAMES)
    torch.testing.assert_close(prompt()[[0, 3, 6]], prompt.base_features)
    torch.testing.assert_close(prompt()[1], (2 * prompt.base_features[0] + prompt.base_features[1]) / 3)


def test_only_the_base_features_are_trained_and_kept() -> None:
    torch.manual_seed(0)
    prompt = LinearInterpolatedPrompt(num_base_ranks=4, embed_dim=512, rank_names=NAMES)
    assert prompt.parts() == {"head": ["base_features"]}
    assert [*prompt.state_dict()] == ["base_features"]
    assert prompt.base_features.std().item() == pytest.approx(0.02, rel=0.1)
    prompt()[2].sum().backward()
    expected = interpolation_weights("linear", 7, 4)[2][:, None].expand(-1, 512)
    torch.testing.assert_close(prompt.base_features.grad, expected)


def test_more_base_ranks_than_ranks_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"prompt.num_base_ranks=8: out of range"):
        LinearInterpolatedPrompt(num_base_ranks=8, embed_dim=5, rank_names=NAMES)
