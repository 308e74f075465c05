import pytest
import torch
from torch import nn

from ordinalclip.errors import ConfigError
from ordinalclip.training.loop import told_refusals


def test_what_torch_refuses_names_the_key() -> None:
    maps, places = nn.MaxPool2d(2, return_indices=True)(torch.randn(1, 1, 4, 4))
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(ConfigError, match="max_unpooling2d") as caught, told_refusals():
            nn.MaxUnpool2d(2)(maps, places)
    finally:
        torch.use_deterministic_algorithms(False)
    assert caught.value.key == "trainer.deterministic"
    assert "trainer.deterministic=false" in str(caught.value)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="out of memory"), told_refusals():
        raise RuntimeError("CUDA out of memory")
