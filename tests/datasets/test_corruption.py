from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ordinalclip.datasets.corruption import KINDS, NOISE, SEVERITIES, corrupt, corrupt_manifest
from tests.datasets.made import make_manifest, write_image


def pattern(size: tuple[int, int] = (240, 180)) -> Image.Image:
    """Blobs of every size, the larger the stronger, as in photos."""
    rng, total = np.random.default_rng(0), np.zeros((size[1], size[0], 3))
    for octave in range(6):
        small = Image.fromarray(rng.integers(0, 256, (3 * 2**octave, 4 * 2**octave, 3), dtype=np.uint8))
        total += np.asarray(small.resize(size, Image.Resampling.BICUBIC), dtype=float) * 0.5 ** (octave + 1)
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("kind", KINDS)
def test_each_severity_is_worse_than_the_one_before(kind: str) -> None:
    image = pattern()
    clean = np.asarray(image, dtype=float)
    errors = []
    for severity in SEVERITIES:
        worse = corrupt(image, kind, severity, seed=7)
        assert (worse.mode, worse.size) == ("RGB", image.size)
        assert worse.tobytes() == corrupt(image, kind, severity, seed=7).tobytes()
        errors.append(np.sqrt(((np.asarray(worse, dtype=float) - clean) ** 2).mean()))
    assert errors == sorted(errors)
    assert errors[0] > 0
    assert errors[4] > 1.2 * errors[0]
    assert corrupt(Image.new("RGB", (1, 1)), kind, 5, seed=0).size == (1, 1)


def test_noise_has_the_stated_strength_and_a_constant_image_survives_the_rest() -> None:
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    for severity in SEVERITIES[:3]:  # beyond, noise is cut off at black and white
        pixels = np.asarray(corrupt(grey, "noise", severity, seed=1), dtype=float)
        assert pixels.std() / 255 == pytest.approx(NOISE[severity - 1], rel=0.02)
    assert corrupt(grey, "noise", 1, seed=1).tobytes() != corrupt(grey, "noise", 1, seed=2).tobytes()
    for kind in ("blur", "jpeg", "resolution"):
        assert np.ptp(np.asarray(corrupt(grey, kind, 5, seed=0))) <= 1


def test_a_split_of_a_manifest(tmp_path: Path) -> None:
    for index in range(4):
        write_image(tmp_path / f"{index}.png", index, size=16)
    manifest = replace(make_manifest([0, 1, 0, 1], split=["train", "val", "test", "test"]), root=tmp_path)
    worse = corrupt_manifest(manifest, "blur", 4, "test", tmp_path / "cache")
    assert worse.name == "made-blur4"
    assert list(worse.table["rank"]) == list(manifest.table["rank"])
    assert list(worse.table["sha256"][:2]) == list(manifest.table["sha256"][:2])
    assert not set(worse.table["sha256"][2:]) & set(manifest.table["sha256"])
    assert worse.files()[0].samefile(manifest.files()[0])
    for row in (2, 3):
        with Image.open(worse.files()[row]) as shown, Image.open(manifest.files()[row]) as clean:
            assert shown.tobytes() == corrupt(clean.convert("RGB"), "blur", 4, seed=0).tobytes()
    again = corrupt_manifest(manifest, "blur", 4, "test", tmp_path / "cache")
    assert again.content_hash == worse.content_hash != manifest.content_hash
