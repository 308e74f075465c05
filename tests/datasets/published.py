"""Small made data in the exact layouts of published sets, as their list files name them."""

from pathlib import Path

import numpy as np

from tests.datasets.made import write_image
from tests.datasets.made_sets import make_other_sets

AGES = tuple(range(16, 60))  # more than the 40 that a published shift thins
GROUPS = {"adience": 8, "aesthetics": 5, "hci": 5}
SHARES = {"train": 4, "val": 1, "test": 2}


def make_published(data: Path) -> None:
    """MORPH, Adience (two folds), aesthetics (four parts) and HCI (two splits) below a folder, as `paths.data`.

    Of the latter two both what was published and list files; and all other sets.
    """
    make_other_sets(data)
    make_morph(data / "MORPH")
    folds = data / "adience" / "train_val_txt_files_per_fold"
    for fold in (0, 1):
        names = ("age_train", "age_val", "age_test")
        _lists(data / "adience" / "aligned", folds / f"test_fold_is_{fold}", names, 8, _adience, shift=fold)
    for part in ("nature", "animals", "urban", "people"):
        names = (f"{part}_train", f"{part}_val", f"{part}_test")
        root = data / "aesthetics_by_lists"
        _lists(root / "images", root / "lists", names, 5, lambda rank, index, part=part: f"{part} {rank}_{index}.jpg")
    root = data / "hci_by_lists"
    for fold in (0, 1):
        names = (f"{fold}_train", f"{fold}_val", f"{fold}_test")
        _lists(root / "data/imgs/decade_database", root / "lists", names, 5, _hci, shift=fold)


def make_morph(root: Path) -> None:
    """The two list files of the reference; subjects have two images, ages repeat."""
    lines: dict[str, list[str]] = {"train": [], "val": []}
    for index in range(6 * len(AGES)):
        age, split = AGES[index % len(AGES)], "val" if index >= 4 * len(AGES) else "train"
        path = f"Album2/{100 + index // 2}_{index % 2}M{age}.JPG"
        write_image(root / path, index)
        lines[split].append(f"{path} {age}")
    (root / "data_list").mkdir()
    for split, rows in lines.items():
        (root / "data_list" / f"ET_proto_{split}.txt").write_text("\n".join(rows) + "\n")


def _adience(rank: int, index: int) -> str:
    return f"{30 + index}@N0{rank}/landmark_aligned_face.{index}.{rank}_o.jpg"


def _hci(rank: int, index: int) -> str:
    return f"{1930 + 10 * rank}s/{index}.jpg"


def _lists(images: Path, folder: Path, names: tuple, num_ranks: int, path_of, shift: int = 0) -> None:  # type: ignore[no-untyped-def]
    folder.mkdir(parents=True, exist_ok=True)
    split = np.roll(np.repeat(names, list(SHARES.values())), shift)
    lines: dict[str, list[str]] = {name: [] for name in names}
    for rank in range(num_ranks):
        for index, name in enumerate(split):
            path = path_of(rank, index)
            if not (images / path).exists():
                write_image(images / path, rank * 100 + index)
            lines[name].append(f"{path} {rank}")
    for name, rows in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n")
