import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ordinalclip.backbones.backbone import Backbone
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.features import extraction
from ordinalclip.features.extraction import Extraction, load_features, load_views
from ordinalclip.features.store import StoredFeatures, feature_key, find_features, folder_of, hash_of
from ordinalclip.images.cache import load_images
from ordinalclip.images.preprocessing import Geometry, Preprocessing
from ordinalclip.system.caches import list_stores, remove_store
from ordinalclip.training.batches import FeatureRows, ViewRows
from tests import ROOT, warm
from tests.fakes import FakeText
from tests.made_images import augmented

NUM_IMAGES = 23
STORE = {"features.npy", "images.txt", "checksum.txt", "about.json"}


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
    features = load_features(model, manifest, cache_dir=tmp_path / "cache", how=Extraction(batch_size=3))
    np.testing.assert_array_equal(features, expected(manifest))
    assert features[np.arange(2)].dtype == np.float32
    assert isinstance(model.image, CountingTower)
    assert model.image.num_images == NUM_IMAGES - 1
    assert set(files(tmp_path / "cache")) == STORE


def test_a_second_reading_takes_no_tower(manifest: Manifest, tmp_path: Path) -> None:
    load_features(backbone(), manifest, cache_dir=tmp_path)
    model = backbone()
    shuffled = select(manifest, list(range(NUM_IMAGES))[::-1])
    part = select(manifest, [5, 2, 2, 22])
    for other in (manifest, shuffled, part):
        np.testing.assert_array_equal(load_features(model, other, cache_dir=tmp_path), expected(other))
    assert isinstance(model.image, CountingTower)
    assert model.image.num_images == 0


def test_a_shuffled_manifests_splits_are_mapped_and_not_copied(manifest: Manifest, tmp_path: Path) -> None:
    """In two stores and several views, of which a batch alone comes into memory."""
    width = 1 << 14
    halves = [np.sort(half.astype(str)) for half in np.array_split(np.unique(manifest.hashes()), 2)]
    values = {sha256: np.float32(number) for number, sha256 in enumerate(np.concatenate(halves))}
    keys = ["tower", feature_key("tower", view=0), feature_key("tower", view=1)]
    for plus, key in enumerate(keys):
        for half in halves:
            folder = folder_of(key, tmp_path) / hash_of(half)
            folder.mkdir(parents=True)
            (folder / "images.txt").write_text("\n".join(half))
            stored = np.repeat(np.array([[values[sha256] + 100 * plus] for sha256 in half], np.float32), width, axis=1)
            np.save(folder / "features.npy", stored)
    rows = np.random.default_rng(0).permutation(NUM_IMAGES)
    truth = np.array([values[sha256] for sha256 in manifest.hashes()[rows]])
    num_bytes = NUM_IMAGES * width * 4
    tracemalloc.start()
    try:
        plain = FeatureRows(load_features(backbone(), manifest, cache_dir=tmp_path), rows, rows)
        views = load_views(backbone(), manifest, rows, num_views=2, cache_dir=tmp_path)
        augmented = ViewRows(views, rows, rows, seed=0)
        assert tracemalloc.get_traced_memory()[1] < num_bytes / 4
        for start in range(0, NUM_IMAGES, 2):
            batch = [(3, position) for position in range(start, min(start + 2, NUM_IMAGES))]
            places = [position for _, position in batch]
            drawn = augmented.drawn(3)[places].numpy()
            for found, expected in (
                (plain.__getitems__(batch).features, truth[places]),
                (augmented.__getitems__(batch).features, truth[places] + 100 * (1 + drawn)),
            ):
                np.testing.assert_array_equal(found, np.repeat(expected[:, None], width, axis=1))
                del found
        assert tracemalloc.get_traced_memory()[0] < num_bytes / 4
    finally:
        tracemalloc.stop()


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
    assert set(files(tmp_path)) - {path.name for path in manifest.root.iterdir()} == STORE


def test_chunks_that_another_process_sweeps_away_while_one_is_written_are_not_missed(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = extraction.save_part

    def overtaken(features: np.ndarray, path: Path) -> None:
        monkeypatch.setattr(extraction, "save_part", save)
        load_features(backbone(), manifest, cache_dir=tmp_path)
        assert not path.parent.exists()
        save(features, path)

    monkeypatch.setattr(extraction, "save_part", overtaken)
    np.testing.assert_array_equal(load_features(backbone(), manifest, cache_dir=tmp_path), expected(manifest))
    assert set(files(tmp_path)) - {path.name for path in manifest.root.iterdir()} == STORE

    monkeypatch.setattr(extraction, "save_part", lambda _, path: shutil.rmtree(path.parent))
    with pytest.raises(FileNotFoundError):  # by nobody who had joined them, again and again
        load_features(backbone("other"), manifest, cache_dir=tmp_path)


def test_a_cache_that_is_cleaned_during_an_extraction_costs_what_was_there(manifest: Manifest, tmp_path: Path) -> None:
    lost: list[int] = []

    class Cleaned(CountingTower):
        def forward(self, images: Tensor) -> Tensor:
            if not lost and self.num_images >= 10:
                lost.append(self.num_images)
                for store in list_stores(tmp_path / "cache"):
                    remove_store(store)
            return super().forward(images)

    model = backbone()
    model.image = Cleaned()
    np.testing.assert_array_equal(load_features(model, manifest, cache_dir=tmp_path / "cache"), expected(manifest))
    assert model.image.num_images == NUM_IMAGES - 1 + lost[0]


def test_a_gpu_is_left_alone_where_the_run_computes_on_the_cpu(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()

    class Seen(CountingTower):
        def forward(self, images: Tensor) -> Tensor:
            seen.add(images.device.type)
            return super().forward(images)

    model = backbone()
    model.image = Seen()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    load_features(model, manifest, cache_dir=tmp_path, how=Extraction(gpu=False))
    assert seen == {"cpu"}


def test_float32_features_are_computed_in_float32(manifest: Manifest, tmp_path: Path) -> None:
    allowed: set[bool] = set()

    class Seen(CountingTower):
        def forward(self, images: Tensor) -> Tensor:
            allowed.add(torch.backends.cudnn.allow_tf32)
            return super().forward(images)

    model, before = backbone(), torch.backends.cudnn.allow_tf32
    model.image = Seen()
    load_features(model, manifest, cache_dir=tmp_path)
    assert allowed == {False}
    assert torch.backends.cudnn.allow_tf32 == before


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
from ordinalclip.features.store import find_features
table = pd.read_pickle({str(tmp_path / "table.pickle")!r})
manifest = Manifest("noise", table, ("a",), (0.0,), "", Path("."), ())
assert find_features("tower", manifest, Path({str(tmp_path)!r})).shape == ({NUM_IMAGES}, 6)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_two_processes_may_extract_the_same(compose_cfg, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Started together on an empty cache, both end with the features of one. Slow: two processes import torch."""
    import json

    cfg = compose_cfg(f"paths.cache={tmp_path / 'cache'}", "dataset.images_per_rank=60")
    code = f"""
import json
from pathlib import Path
import numpy as np
from ordinalclip.backbones.load import load_backbone
from ordinalclip.datasets.load import load_manifest
from ordinalclip.features.extraction import load_features
cfg = json.loads({json.dumps(json.dumps(cfg))})
cache = Path(cfg["paths"]["cache"])
manifest = load_manifest(cfg["dataset"], cfg["protocol"], data_dir=Path(cfg["paths"]["data"]), cache_dir=cache)
features = load_features(load_backbone(cfg["backbone"], cache_dir=cache), manifest, cache_dir=cache)
print(features.shape, np.asarray(features).sum())
"""
    with warm.start("-c", code) as one, warm.start("-c", code) as other:
        outputs = [process.communicate(timeout=600) for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert {path.name for path in (tmp_path / "cache" / "features").rglob("*") if path.is_file()} == STORE


def test_the_image_tower_of_an_extraction_is_in_eval_mode_and_draws_nothing(manifest: Manifest, tmp_path: Path) -> None:
    model = backbone()
    model.train()
    before = torch.random.get_rng_state()
    load_features(model, manifest, cache_dir=tmp_path)
    assert not model.image.training
    assert torch.equal(before, torch.random.get_rng_state())


def counted(model: Backbone) -> int:
    assert isinstance(model.image, CountingTower)
    return model.image.num_images


def test_a_larger_set_computes_only_what_is_new(manifest: Manifest, tmp_path: Path) -> None:
    for rows, new in (([3, 1, 8], 3), ([1, 5, 8, 6], 2), (list(range(NUM_IMAGES)), NUM_IMAGES - 1 - 5)):
        model, part = backbone(), select(manifest, rows)
        np.testing.assert_array_equal(load_features(model, part, cache_dir=tmp_path), expected(part))
        assert counted(model) == new


@pytest.mark.parametrize("damage", ["flip", "cut", "no hashes"])
def test_damaged_features_are_noticed_and_computed_again(manifest: Manifest, tmp_path: Path, damage: str) -> None:
    load_features(backbone(), manifest, cache_dir=tmp_path / "cache")
    before = files(tmp_path / "cache")
    (target,) = (tmp_path / "cache").rglob("features.npy")
    data = bytearray(target.read_bytes())
    data[300] ^= 1
    if damage == "no hashes":
        (target.parent / "images.txt").unlink()
    else:
        target.write_bytes(data if damage == "flip" else data[:-5])
    model = backbone()
    np.testing.assert_array_equal(load_features(model, manifest, cache_dir=tmp_path / "cache"), expected(manifest))
    assert counted(model) == NUM_IMAGES - 1
    assert files(tmp_path / "cache") == before


def test_features_without_a_checksum_are_from_before_there_were_any(manifest: Manifest, tmp_path: Path) -> None:
    load_features(backbone(), manifest, cache_dir=tmp_path / "cache")
    for name in ("checksum.txt", "about.json"):
        next((tmp_path / "cache").rglob(name)).unlink()
    assert find_features("tower", manifest, tmp_path / "cache") is not None


def test_over_the_limit_nothing_is_decoded_and_the_key_is_named(manifest: Manifest, tmp_path: Path) -> None:
    needed = 2 * (NUM_IMAGES - 1) * 6 * 4  # parts and the whole, for the time in which they are joined
    model = backbone()
    with pytest.raises(ConfigError, match=r"hold 0 GB\); raise it") as caught:
        load_features(model, manifest, cache_dir=tmp_path / "cache", how=Extraction(limit_gb=(needed - 1) / 1e9))
    assert caught.value.key == "cache.limit_gb"
    assert counted(model) == 0
    assert not (tmp_path / "cache").exists()
    load_features(model, manifest, cache_dir=tmp_path / "cache", how=Extraction(limit_gb=needed / 1e9))


def test_views_are_crops_drawn_from_number_and_hash(manifest: Manifest, tmp_path: Path) -> None:
    rows = np.array([4, 0, 22, 7])  # 22 is a copy of 0
    found = load_views(backbone(), manifest, rows, num_views=3, cache_dir=tmp_path / "cache")
    views = np.stack([np.asarray(view) for view in found])
    assert views.shape == (3, 4, 6)
    np.testing.assert_array_equal(views[:, 1], views[:, 2])
    for number in range(3):
        for place, row in enumerate(rows):
            words = np.random.SeedSequence([number, int(manifest.hashes()[row], 16)]).generate_state(2)
            generator = torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
            with Image.open(manifest.files()[row]) as image:
                view = augmented(backbone().preprocessing, image, generator)
            np.testing.assert_array_equal(views[number, place], view.flatten()[:6].numpy())
    assert not np.array_equal(views[0], views[1])


def test_more_views_and_other_folds_add_to_those_that_are_there(manifest: Manifest, tmp_path: Path) -> None:
    fold, other = np.arange(10), np.arange(5, 15)
    for rows, num_views, new in ((fold, 2, 20), (fold, 3, 10), (other, 3, 15), (other, 1, 0)):
        model = backbone()
        load_views(model, manifest, rows, num_views=num_views, cache_dir=tmp_path)
        assert counted(model) == new
    whole = load_views(backbone(), manifest, np.arange(12), num_views=3, cache_dir=tmp_path / "other")
    np.testing.assert_array_equal(load_views(model, manifest, np.arange(12), num_views=3, cache_dir=tmp_path), whole)
    assert find_features("tower", manifest, tmp_path) is None  # evaluation's are others


def test_killed_views_go_on_to_the_same_bits(manifest: Manifest, tmp_path: Path) -> None:
    rows = np.arange(NUM_IMAGES)
    whole = load_views(backbone(), manifest, rows, num_views=3, cache_dir=tmp_path / "whole")
    model = backbone()
    assert isinstance(model.image, CountingTower)
    model.image.fails_after = 30
    with pytest.raises(KeyboardInterrupt):
        load_views(model, manifest, rows, num_views=3, cache_dir=tmp_path / "killed")
    model.image.fails_after = None
    again = load_views(model, manifest, rows, num_views=3, cache_dir=tmp_path / "killed")
    np.testing.assert_array_equal(again, whole)
    assert counted(model) <= 3 * (NUM_IMAGES - 1) + 4


def test_bf16_is_kept_apart_and_in_float32(manifest: Manifest, tmp_path: Path) -> None:
    model = backbone()
    model.image = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))
    exact = np.asarray(load_features(model, manifest, cache_dir=tmp_path))
    rough = np.asarray(load_features(model, manifest, cache_dir=tmp_path, how=Extraction(precision="bf16")))
    assert rough.dtype == np.float32
    # What bfloat16 can hold: the lower 16 bits of a float32 are zero.
    assert not (rough.view(np.uint32) & 0xFFFF).any()
    np.testing.assert_allclose(rough, exact, atol=0.03)
    assert not np.array_equal(rough, exact)
    assert len({feature_key("a"), feature_key("a", precision="bf16"), feature_key("a", view=0)}) == 3
    assert feature_key("a") == "a"  # so that what was stored before stays found


@pytest.mark.parametrize("views", [0, 2])
def test_images_that_a_run_has_left_in_the_cache_are_not_decoded(
    manifest: Manifest, tmp_path: Path, views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(cache: Path) -> StoredFeatures | list[StoredFeatures]:
        if views == 0:
            return load_features(backbone(), manifest, cache_dir=cache)
        return load_views(backbone(), manifest, rows, num_views=views, cache_dir=cache)

    rows = np.arange(NUM_IMAGES)
    expected = load(tmp_path / "without")
    assert not (tmp_path / "without" / "images").exists()
    load_images(manifest, rows, Geometry(backbone().preprocessing, views > 0), cache_dir=tmp_path / "with")
    for path in manifest.files():
        path.unlink()
    np.testing.assert_array_equal(load(tmp_path / "with"), expected)


@pytest.mark.slow
def test_a_process_that_is_killed_outright_costs_what_it_was_at(manifest: Manifest, tmp_path: Path) -> None:
    """SIGKILL, which nothing can be done about, leaves its finished chunks and a draft that is swept away later."""
    cache = tmp_path / "killed"
    manifest.table.to_pickle(tmp_path / "table.pickle")
    code = f"""
import os, signal
from pathlib import Path
import pandas as pd
from ordinalclip.features import extraction
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.features.extraction import load_features
from tests.features.test_extraction import CountingTower, backbone
class Killed(CountingTower):
    def forward(self, images):
        if self.num_images >= 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images)
extraction.CHUNK = 4
model = backbone()
model.image = Killed()
table = pd.read_pickle({str(tmp_path / "table.pickle")!r})
manifest = Manifest("noise", table, ("a",), (0.0,), "", Path({str(manifest.root)!r}), ())
load_features(model, manifest, cache_dir=Path({str(cache)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    kept = sum(len(np.load(chunk)) for chunk in cache.rglob("parts/*.npy"))
    assert kept >= 9
    (store,) = (path.parent for path in cache.rglob("about.json"))
    abandoned, at_work = store / ".features.npy.1.part", store / ".features.npy.2.part"
    for draft in (abandoned, at_work):
        draft.touch()
    os.utime(abandoned, (0, 0))
    model = backbone()
    np.testing.assert_array_equal(load_features(model, manifest, cache_dir=cache), expected(manifest))
    assert counted(model) == NUM_IMAGES - 1 - kept
    assert not abandoned.exists()
    assert at_work.exists()
