"""MORPH II's layout, made small: the CSV of 2008, and the lists of MWR and L2RCLIP in their several forms."""

from collections.abc import Sequence
from pathlib import Path

from tests.datasets.made import write_image

HEADER = "id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,glasses,photo"


def morph_row(
    name: str, *, dob: str = "03/01/1960", race: str = "B", age: int | None = None, gender: str | None = None
) -> str:
    """A row of the CSV for an image such as `101157_5F39.JPG`, taken when one born in 1960 is of that age."""
    stem = name.removesuffix(".JPG")
    subject, rest = stem.split("_")
    sex = "M" if "M" in rest else "F"
    picture, named = rest.split(sex)
    age = int(named) if age is None else age
    cells = [
        subject,
        int(picture),
        dob,
        f"06/15/{1960 + int(named)}",
        race,
        gender or sex,
        "NULL",
        age,
        0,
        "NULL",
        f"Album2/{name}",
    ]
    return ",".join(map(str, cells))


def write_csv(root: Path, rows: Sequence[str], *, images: bool = True) -> Path:
    file = root / "morph_2008_nonCommercial.csv"
    root.mkdir(parents=True, exist_ok=True)
    file.write_bytes(("\r\n".join([HEADER, *rows]) + "\r\n").encode())
    for index, row in enumerate(rows if images else ()):
        write_image(root / row.split(",")[-1], index)
    return file


def write_images(root: Path, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        write_image(root / "Album2" / name, index)


def make_morph_csv(root: Path) -> list[str]:
    """Enough people and ages for a protocol to split."""
    names = [f"{100 + index // 3:06d}_{index % 3}M{16 + index % 20}.JPG" for index in range(120)]
    write_csv(root, [morph_row(name) for name in names])
    return names


def write_lists(folder: Path, names: Sequence[str]) -> None:
    """All settings over the same images; image i is in fold i modulo the number of folds."""

    def age(name: str) -> str:
        return name.removesuffix(".JPG")[-2:]

    def write(name: str, lines: Sequence[str], end: str = "\n") -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((end.join(lines) + end).encode())

    for fold in range(5):
        for part in ("train", "test"):
            chosen = [name for index, name in enumerate(names) if (index % 5 == fold) == (part == "test")]
            file = f"RS_partial/Setting_1_fold{fold}_{part}.txt"
            if fold == 0:
                write(
                    file, ["race gender age filename database", *(f"0 1 {age(name)} {name} morph" for name in chosen)]
                )
            else:
                rows = [f"{7 * index},0,1,{age(name)},{name},morph" for index, name in enumerate(chosen)]
                write(file, [",race,gender,age,filename,database", *rows], "\r\n")
    for fold in range(3):
        rows = [f"1 0 {age(name)} {name} morph" for name in names[fold::3]]
        write(f"3_Fold_BW/Setting_2_fold{fold}.txt", ["race gender age filename database", *rows])
    rows = [f"morph\t{name}\t{index % 5}\t{age(name)}" for index, name in enumerate(names)]
    for file in ("SE/Setting_4.txt", "RS/Setting_3.txt"):
        write(file, ["database\tfilename\tfold\tage", *rows])
    for letter in "CD":
        for fold in range(5):
            lines = [f"../../datasets/Morph/image/{name} {age(name)}" for name in names[fold::5]]
            write(f"setting{letter}/morph_{letter}_{fold:02d}.txt", lines)
