import pytest
import torch

from ordinalclip.prompts.linear import LinearPrompt


def test_a_small_matrix_of_directions_without_text():
    torch.manual_seed(0)
    prompt = LinearPrompt(embed_dim=512, rank_names=list("abcde"))
    assert prompt().shape == (5, 512)
    assert prompt().std().item() == pytest.approx(0.02, rel=0.1)
    assert prompt.parts() == {"head": ["weight"]}
    assert prompt().requires_grad
