"""Which splits a run that sees images keeps decoded."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ordinalclip.backbones.load import load_backbone
from ordinalclip.images import preprocessing as image_geometry
from ordinalclip.preparation.prepare import prepare
from ordinalclip.training.split_data import SplitData
from tests.conftest import Compose


@pytest.mark.parametrize(("select_on", "kept"), [("val", {"train", "val"}), ("test", {"train", "test"})])
def test_what_is_seen_every_epoch_is_decoded_once_and_nothing_else_is_stored(
    compose_cfg: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select_on: str, kept: set[str]
) -> None:
    words = ("trainable.image=1e-3", f"protocol.select_on={select_on}", f"paths.cache={tmp_path}")
    job = prepare(compose_cfg(*words))
    data = SplitData(job, load_backbone(job.cfg["backbone"], cache_dir=tmp_path, weights=job.weights))
    assert not data.how.gpu  # trainer=cpu: where features are computed, too
    decoded: Counter[Path] = Counter()
    open_rgb = image_geometry.open_rgb

    def counted(path: Path) -> object:
        decoded[path] += 1
        return open_rgb(path)

    monkeypatch.setattr(image_geometry, "open_rgb", counted)
    epochs = 3
    for split in ("train", "val", "test"):
        for _ in range(epochs):
            rows = data.split(split)
            rows.__getitems__([(0, position) for position in range(len(rows))])
    paths, splits = job.manifest.files(), job.manifest.table["split"].to_numpy()
    times = {name: {decoded[paths[row]] for row in np.flatnonzero(splits == name)} for name in ("train", "val", "test")}
    assert times == {name: {1 if name in kept else epochs} for name in times}
