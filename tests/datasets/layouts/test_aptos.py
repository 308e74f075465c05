from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.layouts.retina import load_aptos
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made_sets import make_aptos

NAMES = ["absent", "mild", "moderate", "severe", "proliferative"]
# The second id is a number as other readers see it.
GRADES = {"000c1434d8d7": 2, "001639390000": 4, "0024cdab0c1e": 1, "00a8624548a9": 0}


def load(root: Path, **options: Any) -> Manifest:
    given = {"rank_names": NAMES, "rank_values": [0, 1, 2, 3, 4]}
    return load_aptos(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **given | options)


def test_the_published_layout(tmp_path: Path) -> None:
    make_aptos(tmp_path / "set", GRADES)
    made = load(tmp_path / "set")
    ranks = dict(zip(made.table["path"], made.table["rank"], strict=True))
    assert ranks == {f"train_images/{image}.png": grade for image, grade in GRADES.items()}
    assert made.table["value"].tolist() == [2, 4, 1, 0]
    assert made.table["subject"].isna().all()
    assert made.notes == ()


def test_wrong_and_half_copied(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.root"):
        load(tmp_path / "nowhere")
    make_aptos(tmp_path / "set", GRADES)
    for image in ("000c1434d8d7", "00a8624548a9"):
        (tmp_path / "set/train_images" / f"{image}.png").unlink()
    with pytest.raises(DataError) as caught:
        load(tmp_path / "set", obtain="from Kaggle")
    for words in ("2 of 4 images that train.csv names", "train_images/000c1434d8d7.png", "half copied", "from Kaggle"):
        assert words in str(caught.value)
    (tmp_path / "set" / "train.csv").write_text("id_code;diagnosis\n000c1434d8d7;severe\n")
    with pytest.raises(DataError, match=r"1 rows have no image with a grade of 0…4:\n  row 2: 000c1434d8d7, severe"):
        load(tmp_path / "set")
