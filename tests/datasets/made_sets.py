"""Small made data in the exact layouts of published sets other than ages; no two images are equal."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.datasets.made import write_image

GDR_FOLDERS = ("nodr", "mild_npdr", "moderate_npdr", "severe_npdr", "pdr")


def make_hci(root: Path, per_decade: int = 7, place: str = "data/imgs/decade_database") -> None:
    """Files are called as the archive's are, and begin with the same number in every decade."""
    for rank, decade in enumerate(("1930s", "1940s", "1950s", "1960s", "1970s")):
        for index in range(per_decade):
            write_image(root / place / decade / f"{index}_decade.jpg", rank * 1000 + index)


def make_aesthetics(root: Path, rows: list[tuple[str, str, str]], gone: tuple[str, ...] = ()) -> None:
    """The table with the line ends of Windows, and an image for each row but those that are gone."""
    lines = ["#flickr_photo_id\tcategory\tbeauty_scores", *("\t".join(row) for row in rows)]
    for index, (photo, _, _) in enumerate(rows):
        if photo not in gone:
            write_image(root / "images" / f"{photo}.jpg", index)
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "beauty-icwsm15-dataset.tsv").write_bytes(("\r\n".join(lines) + "\r\n").encode())


def aesthetic_rows(per_grade: int = 7) -> list[tuple[str, str, str]]:
    """Every grade in every category, five scores each."""
    categories, rows = ("animals", "urban", "people", "nature"), []
    for kind, category in enumerate(categories):
        for grade in range(1, 6):
            for index in range(per_grade):
                scores = (grade, grade, grade, max(grade - 1, 1), min(grade + 1, 5))
                photo = f"{3 + kind}{grade}{index:08d}"
                rows.append((photo, category, ",".join(map(str, scores))))
    return rows


def make_eyepacs(root: Path, grades: Mapping[str, int], **further: Mapping[str, int]) -> None:
    """`train/` and trainLabels.csv; `test=` adds the table that was published afterwards, with a column more."""
    parts = {"train": ("trainLabels.csv", grades)}
    if "test" in further:
        parts["test"] = ("retinopathy_solution.csv", further["test"])
    for folder, (name, rows) in parts.items():
        more, cell = (",Usage", ",Private") if folder == "test" else ("", "")
        lines = [f"image,level{more}", *(f"{image},{grade}{cell}" for image, grade in rows.items())]
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / name).write_text("\n".join(lines) + "\n")
        for index, image in enumerate(rows):
            write_image(root / folder / f"{image}.jpeg", index + (1000 if folder == "test" else 0))


def make_aptos(root: Path, grades: Mapping[str, int]) -> None:
    lines = ["id_code,diagnosis", *(f"{image},{grade}" for image, grade in grades.items())]
    for index, image in enumerate(grades):
        write_image(root / "train_images" / f"{image}.png", index)
    (root / "train.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode())


def make_gdrbench(root: Path, sets: tuple[str, ...] = ("APTOS", "DEEPDR", "RLDR"), per_grade: int = 4) -> None:
    """Of each grade's images one is in the crossval list, the others in the train list."""
    (root / "splits").mkdir(parents=True)
    for number, name in enumerate(sets):
        lists: dict[str, list[str]] = {"train": [], "crossval": []}
        for rank, folder in enumerate(GDR_FOLDERS):
            for index in range(per_grade):
                path = f"{name}/{folder}/{index}_{rank}.png"
                write_image(root / "images" / path, number * 1000 + rank * 100 + index)
                lists["crossval" if index == 0 else "train"].append(f"{path} {rank}")
        for part, lines in lists.items():
            (root / "splits" / f"{name}_{part}.txt").write_text("\n".join(lines) + "\n")


def make_medmnist(file: Path, sizes: Mapping[str, int], num_ranks: int = 5, size: int = 28, grey: bool = False) -> None:
    """Labels repeat 0, 1, 2, …, in a column, as in the published archives."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, number in sizes.items():
        shape = (number, size, size) if grey else (number, size, size, 3)
        arrays[f"{split}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(number, dtype=np.uint8) % num_ranks)[:, None]
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)


def make_koniq(root: Path, rows: list[tuple[str, str, str]], name: str = "koniq10k_distributions_sets.csv") -> None:
    """Rows are image, votes separated by commas, and set.

    The table with sets has shares of the votes, with twelve digits, and MOS on the scale of 1 to 100, as published.
    """
    with_sets = name.endswith("_sets.csv")
    lines = ["image_name,c1,c2,c3,c4,c5,c_total,MOS,SD" + (",set" if with_sets else ",MOS_zscore")]
    for index, (image, votes, split) in enumerate(rows):
        write_image(root / "1024x768" / image, index)
        words = votes.split(",")
        total = sum(float(word) for word in words if word != "x")
        if with_sets and total > 0:
            words = [word if word == "x" else str(float(f"{float(word) / total:.12g}")) for word in words]
        lines.append(f"{image},{','.join(words)},{total:g}," + (f"71.5,0.6,{split}" if with_sets else "3.9,0.6,66.4"))
    (root / name).write_text("\n".join(lines) + "\n")


def make_ava(root: Path, votes: Mapping[int, str], test: tuple[int, ...] = (), gone: tuple[int, ...] = ()) -> None:
    """AVA.txt as published: index, image, ten counts, two tags, challenge; lists of ids, one a line."""
    lines = [f"{index} {image} {counts} 1 22 1396" for index, (image, counts) in enumerate(votes.items(), 1)]
    for index, image in enumerate(votes):
        if image not in gone:
            write_image(root / "images" / f"{image}.jpg", index)
    lists = root / "aesthetics_image_lists"
    lists.mkdir(parents=True)
    (root / "AVA.txt").write_bytes(("\r\n".join(lines) + "\r\n").encode())
    (lists / "generic_test.jpgl").write_text("\n".join(map(str, test)) + "\n")
    (lists / "generic_ls_train.jpgl").write_text("\n".join(str(image) for image in votes if image not in test) + "\n")


def make_folder(root: Path, path_of: Callable[[str, int], str], ranks: tuple[str, ...], per_rank: int = 7) -> None:
    for number, rank in enumerate(ranks):
        for index in range(per_rank):
            write_image(root / path_of(rank, index), number * 1000 + index)


def make_other_sets(data: Path) -> None:
    """All of them below a folder, where their yamls look for them, with images enough to train on."""
    make_hci(data / "HistoricalColor-ECCV2012")
    make_aesthetics(data / "aesthetics", aesthetic_rows())
    eyes = [f"{patient}_{side}" for patient in range(10, 50) for side in ("left", "right")]
    make_eyepacs(data / "eyepacs", {eye: index // 2 % 5 for index, eye in enumerate(eyes)})
    make_aptos(data / "aptos2019-blindness-detection", {f"{index:012x}": index % 5 for index in range(50)})
    make_gdrbench(data / "GDRBench", ("APTOS", "DEEPDR", "FGADR", "IDRID", "MESSIDOR", "RLDR"))
    make_medmnist(data / "medmnist" / "retinamnist_28.npz", {"train": 40, "val": 10, "test": 10})
    splits = ("training", "training", "validation", "test")
    votes = ("90,10,0,0,0", "10,80,10,0,0", "0,10,80,10,0", "0,0,10,80,10")
    rows = [(f"{index}.jpg", votes[index // 4 % 4], splits[index % 4]) for index in range(48)]
    make_koniq(data / "koniq10k", rows)
    counts = {
        1000 + index: " ".join("9" if grade == index % 4 + 3 else "1" for grade in range(10)) for index in range(60)
    }
    make_ava(data / "AVA_dataset", counts, test=tuple(range(1000, 1020)))
    make_folder(data / "folder", lambda rank, index: f"{rank}/{index}.png", ("1", "2", "10"), 12)
