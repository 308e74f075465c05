import sys

import numpy as np
import pytest

from ordinalclip.datasets.layouts.digits import load_digits
from ordinalclip.images.decoding import open_rgb


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # scikit-learn's import is not ours
def test_digits(tmp_path, monkeypatch):
    manifest = load_digits(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    assert len(manifest.table) == 1797
    assert manifest.num_ranks == 10
    import sklearn.datasets

    original = sklearn.datasets.load_digits()
    assert manifest.table["rank"].tolist() == original.target.tolist()
    pixels = np.asarray(open_rgb(manifest.files()[5]))[..., 0]
    np.testing.assert_allclose(pixels, original.images[5] * 255 / 16, atol=0.5)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # what is written is not made again
    assert load_digits(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache").content_hash == manifest.content_hash
