"""The sets of ages whose labels stand in tables or .mat files, made small in their published layouts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from tests.datasets.made import write_image

PARTS = ("train", "valid", "test")
BOX = "10,11,20,21"


def cells(texts: Sequence[str]) -> np.ndarray:
    """MATLAB's cell array of texts."""
    array = np.empty((len(texts), 1), dtype=object)
    array[:, 0] = list(texts)
    return array


def write_cacd(root: Path, rows: Sequence[tuple[str, int, int, int, int]]) -> None:
    """Rows of name, age, identity, year and rank."""
    names, ages, identities, years, ranks = zip(*rows, strict=True)
    columns = {"age": ages, "identity": identities, "year": years, "rank": ranks}
    numbers = {key: np.array(values, dtype=np.uint16)[:, None] for key, values in columns.items()}
    struct = {**numbers, "name": cells(names), "lfw": np.zeros((len(rows), 1), dtype=np.uint8)}
    people = {"name": cells(["Robin Williams"]), "identity": np.array([[1]], dtype=np.uint16)}
    root.mkdir(parents=True, exist_ok=True)
    savemat(root / "celebrity2000_meta.mat", {"celebrityData": people, "celebrityImageData": struct})
    for index, name in enumerate(names):
        write_image(root / "CACD2000" / name, index)


def write_imdb(root: Path, rows: Sequence[tuple[str, int, int, float, float, float, str]], part: str = "imdb") -> None:
    """Rows of path, day number of birth, year, gender, score, second score and name."""
    paths, dob, year, gender, score, second, names = zip(*rows, strict=True)
    struct = {
        "dob": np.array([dob], dtype=np.int32),
        "photo_taken": np.array([year], dtype=np.uint16),
        "full_path": cells(paths).T,
        "gender": np.array([gender], dtype=float),
        "name": cells(names).T,
        "face_location": np.array([[np.array([[1.0, 2.0, 3.0, 4.0]]) for _ in rows] + [None]], dtype=object)[:, :-1],
        "face_score": np.array([score], dtype=float),
        "second_face_score": np.array([second], dtype=float),
    }
    root.mkdir(parents=True, exist_ok=True)
    savemat(root / f"{part}.mat", {part: struct})
    for index, path in enumerate(paths):
        write_image(root / path, index)


def write_imdb_clean(root: Path, rows: dict[str, Sequence[tuple[str, int, str]]]) -> None:
    """For train, valid and test: path, age and M or F."""
    (root / "csvs").mkdir(parents=True)
    number = 0
    for part in PARTS:
        lines = ["filename,age,gender,x_min,y_min,x_max,y_max,head_roll,head_yaw,head_pitch"]
        for path, age, gender in rows[part]:
            lines.append(f"{path},{age},{gender},{BOX},0.5,-1.5,2.5")
            write_image(root / "data/imdb-clean-1024" / path, number := number + 1)
        (root / "csvs" / f"imdb_{part}_new_1024.csv").write_text("\n".join(lines) + "\n")


def write_clap2015(root: Path, lines: Sequence[str], end: str = "\r\n") -> None:
    """Lines of filename, age, stdv and database."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "total_2015.csv").write_bytes(end.join(["filename,age,stdv,database", *lines, ""]).encode())
    for index, line in enumerate(lines):
        name, _, _, part = line.split(",")
        write_image(root / "2015" / part / name, index)


def write_clap2016(root: Path, rows: dict[str, Sequence[tuple[str, float, float]]]) -> None:
    number = 0
    for part in PARTS:
        lines = ["image,mean,stdv", *(f"{name},{mean},{stdv}" for name, mean, stdv in rows[part])]
        for name, _, _ in rows[part]:
            write_image(root / part / name, number := number + 1)
        (root / f"{part}_gt.csv").write_text("\n".join(lines) + "\n")


def write_appa_real(root: Path, rows: dict[str, Sequence[tuple[str, int, float, float, int]]]) -> None:
    number = 0
    for part in PARTS:
        lines = ["file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age"]
        for row in rows[part]:
            lines.append(",".join(map(str, row)))
            for ending in ("", "_face.jpg"):
                write_image(root / part / f"{row[0]}{ending}", number := number + 1)
        (root / f"gt_avg_{part}.csv").write_text("\n".join(lines) + "\n")


def make_tables(data: Path) -> None:
    """Each of them where its yaml looks for it, large enough to be trained on."""
    celebrities = [(f"{20 + i % 9}_Some_One_{i:04d}.jpg", 20 + i % 9, i // 4, 2005, 1 + i // 4) for i in range(60)]
    write_cacd(data / "CACD2000", celebrities)
    born = 367 + 365 * 1960  # about 1960
    photos = [
        (f"{i % 3:02d}/nm{i // 2}_rm{i}.jpg", born, 1980 + i % 9, 1.0, 4.0, np.nan, f"P {i // 2}") for i in range(60)
    ]
    write_imdb(data / "imdb_crop", photos)
    sizes = {"train": 24, "valid": 8, "test": 8}
    clean = {
        part: [(f"0{i % 2}/nm{number}{i:02d}_rm{i}.jpg", 20 + i % 5, "M") for i in range(sizes[part])]
        for number, part in enumerate(PARTS)
    }
    write_imdb_clean(data / "imdb-clean", clean)
    parts = {"train": "train", "valid": "val", "test": "test"}
    write_clap2015(
        data / "CLAP2015",
        [f"image_{i}.jpg,{20 + i % 5},3.5,{parts[part]}" for part, n in sizes.items() for i in range(n)],
    )
    write_clap2016(
        data / "CLAP2016", {part: [(f"{i:06d}.jpg", 20.25 + i % 5, 4.5) for i in range(n)] for part, n in sizes.items()}
    )
    write_appa_real(
        data / "appa-real-release",
        {part: [(f"{i:06d}.jpg", 38, 20.4 + i % 5, 4.5, 22) for i in range(n)] for part, n in sizes.items()},
    )
