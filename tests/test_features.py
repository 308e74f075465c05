import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ordinalclip import extraction
from ordinalclip.backbones.backbone import Backbone
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import DataError
from ordinalclip.features import find_features, load_features
from ordinalclip.preprocessing import Preprocessing
from tests.fakes import FakeText

NUM_IMAGES = 23


class CountingTower(nn.Module):
    """Flattens images; fails after some batches when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.num_images = 0
        self.fails_after: int | None = None

    def forward(self, images: Tensor) -> Tensor:
        if self.fails_after is not None and self.num_images >= self.fails_after:
            raise KeyboardInterrupt
        self.num_images += len(images)
        return images.flatten(1)[:, :6]


def backbone(key: str = "tower") -> Backbone:
    return Backbone(
        image=CountingTower(),
        text=FakeText(),
        projection=nn.Identity(),
        logit_scale=0.0,
        preprocessing=Preprocessing(8, (0.5,) * 3, (0.5,) * 3),
        feature_dim=6,
        embed_dim=6,
        tower_key=key,
    )


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "CHUNK", 4)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Distinct images in files with spaces and umlauts, the last one a copy of the first."""
    root = tmp_path / "images"
    root.mkdir()
    names = [f"bild ä {index}.png" for index in range(NUM_IMAGES)]
    random = np.random.default_rng(0)
    for name in names:
        Image.fromarray(random.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(root / name)
    shutil.copy(root / names[0], root / names[-1])
    table = pd.DataFrame(
        {
            "path": names,
            "rank": 0,
            "value": 0.0,
            "subject": None,
            "group": None,
            "split": None,
            "sha256": [hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names],
        }
    )
    return Manifest("noise", table, ("a",), (0.0,), "", root, ())


def select(manifest: Manifest, rows: list[int]) -> Manifest:
    table = manifest.table.iloc[rows].reset_index(drop=True)
    return Manifest("part", table, manifest.rank_names, manifest.rank_values, "", manifest.root, ())


def expected(manifest: Manifest) -> np.ndarray:
    preprocessing = backbone().preprocessing
    images = [Image.open(manifest.root / path) for path in manifest.table["path"]]
    rows = [preprocessing.to_tensor(image).flatten()[:6].numpy() for image in images]
    for image in images:
        image.close()
    return np.stack(rows)


def files(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.rglob("*") if path.is_file()}


def test_features_come_in_the_manifests_order_each_image_computed_once(manifest: Manifest, tmp_path: Path) -> None:
    model = backbone()
    features = load_features(model, manifest, cache_dir=tmp_path / "cache", batch_size=3)
    np.testing.assert_array_equal(features, expected(manifest))
    assert features.dtype == np.float32
    assert isinstance(model.image, CountingTower)
    assert model.image.num_images == NUM_IMAGES - 1
    assert set(files(tmp_path / "cache")) == {"features.npy", "images.txt"}


def test_a_second_reading_takes_no_tower(manifest: Manifest, tmp_path: Path) -> None:
    load_features(backbone(), manifest, cache_dir=tmp_path)
    model = backbone()
    shuffled = select(manifest, list(range(NUM_IMAGES))[::-1])
    part = select(manifest, [5, 2, 2, 22])
    for other in (manifest, shuffled, part):
        np.testing.assert_array_equal(load_features(model, other, cache_dir=tmp_path), expected(other))
    assert isinstance(model.image, CountingTower)
    assert model.image.num_images == 0


def test_rows_in_the_files_order_are_mapped_and_not_copied(manifest: Manifest, tmp_path: Path) -> None:
    load_features(backbone(), manifest, cache_dir=tmp_path)
    order = manifest.table["sha256"].drop_duplicates().sort_values().index.tolist()
    found = find_features("tower", select(manifest, order), tmp_path)
    assert isinstance(found, np.memmap)


def test_other_towers_and_new_images_are_not_found(manifest: Manifest, tmp_path: Path) -> None:
    load_features(backbone(), select(manifest, [0, 1, 2]), cache_dir=tmp_path)
    assert find_features("tower", select(manifest, [2, 0]), tmp_path) is not None
    assert find_features("other tower", select(manifest, [0]), tmp_path) is None
    assert find_features("tower", select(manifest, [0, 3]), tmp_path) is None
    assert find_features("tower", select(manifest, [0]), tmp_path / "other cache") is None


@pytest.mark.parametrize("fails_after", [1, 8, 17])
def test_a_killed_extraction_goes_on_to_the_same_bits(manifest: Manifest, tmp_path: Path, fails_after: int) -> None:
    load_features(backbone(), manifest, cache_dir=tmp_path / "whole")
    model = backbone()
    assert isinstance(model.image, CountingTower)
    model.image.fails_after = fails_after
    with pytest.raises(KeyboardInterrupt):
        load_features(model, manifest, cache_dir=tmp_path / "killed")
    assert find_features("tower", manifest, tmp_path / "killed") is None
    first = model.image.num_images
    model.image.fails_after = None
    load_features(model, manifest, cache_dir=tmp_path / "killed")
    assert model.image.num_images <= NUM_IMAGES - 1 + 4
    assert model.image.num_images > first
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_what_another_process_has_finished_meanwhile_is_used(manifest: Manifest, tmp_path: Path) -> None:
    class Overtaken(CountingTower):
        def forward(self, images: Tensor) -> Tensor:
            if self.num_images == 0:
                load_features(backbone(), manifest, cache_dir=tmp_path)
            return super().forward(images)

    model = backbone()
    model.image = Overtaken()
    np.testing.assert_array_equal(load_features(model, manifest, cache_dir=tmp_path), expected(manifest))
    assert model.image.num_images <= extraction.CHUNK
    assert set(files(tmp_path)) - {path.name for path in manifest.root.iterdir()} == {"features.npy", "images.txt"}


def test_a_broken_image_is_named(manifest: Manifest, tmp_path: Path) -> None:
    (manifest.root / manifest.table["path"][3]).write_bytes(b"")
    with pytest.raises(DataError, match="bild ä 3"):
        load_features(backbone(), manifest, cache_dir=tmp_path / "cache")


def test_reading_imports_no_torch(manifest: Manifest, tmp_path: Path) -> None:
    load_features(backbone(), manifest, cache_dir=tmp_path)
    manifest.table.to_pickle(tmp_path / "table.pickle")
    code = f"""
import sys
from pathlib import Path
import pandas as pd
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.features import find_features
table = pd.read_pickle({str(tmp_path / "table.pickle")!r})
manifest = Manifest("noise", table, ("a",), (0.0,), "", Path("."), ())
assert find_features("tower", manifest, Path({str(tmp_path)!r})).shape == ({NUM_IMAGES}, 6)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_two_processes_may_extract_the_same(compose_cfg, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Started together on an empty cache, both end with the features of one."""
    import json

    cfg = compose_cfg(f"paths.cache={tmp_path / 'cache'}", "dataset.images_per_rank=60")
    code = f"""
import json
from pathlib import Path
from ordinalclip.backbones.load import load_backbone
from ordinalclip.datasets.load import load_manifest
from ordinalclip.features import load_features
cfg = json.loads({json.dumps(json.dumps(cfg))})
cache = Path(cfg["paths"]["cache"])
manifest = load_manifest(cfg["dataset"], cfg["protocol"], data_dir=Path(cfg["paths"]["data"]), cache_dir=cache)
features = load_features(load_backbone(cfg["backbone"], cache_dir=cache), manifest, cache_dir=cache)
print(features.shape, features.sum())
"""
    run = [sys.executable, "-c", code]
    both = [subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert {path.name for path in (tmp_path / "cache" / "features").rglob("*") if path.is_file()} == {
        "features.npy",
        "images.txt",
    }


def test_the_image_tower_of_an_extraction_is_in_eval_mode_and_draws_nothing(manifest: Manifest, tmp_path: Path) -> None:
    model = backbone()
    model.train()
    before = torch.random.get_rng_state()
    load_features(model, manifest, cache_dir=tmp_path)
    assert not model.image.training
    assert torch.equal(before, torch.random.get_rng_state())
