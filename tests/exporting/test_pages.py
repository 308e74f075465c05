from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ordinalclip.config.checks import READOUTS
from ordinalclip.exporting.pages import _READOUTS, _resize
from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.metrics.readout import read_out


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("margin", [1.0, 8 / 7])
@pytest.mark.parametrize("size", [(50, 31), (31, 50), (32, 32), (7, 90)])
def test_the_example_prepares_images_as_the_model_does(resize: Any, margin: float, size: tuple[int, int]) -> None:
    way = Preprocessing(32, (0.0,) * 3, (1.0,) * 3, "bicubic", resize, margin)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    variables: dict[str, Any] = {"image": image, "Image": Image}
    exec(f"if True:\n    image = image{_resize(way)}", variables)
    expected = np.asarray(way.center_crop(way.scale(image, way.scaled)))
    assert np.array_equal(np.asarray(variables["image"]), expected)


@pytest.mark.parametrize("readout", READOUTS)
def test_the_example_reads_a_rank_off_as_the_model_does(readout: str) -> None:
    for num_ranks in (2, 5, 30):
        probs = np.random.default_rng(0).dirichlet(np.ones(num_ranks) / 4, 200)
        expected = read_out(torch.from_numpy(probs), readout).round().long().tolist()
        found = [eval(_READOUTS[readout], {"numpy": np, "plain": one}) for one in probs]
        assert found == expected
