"""Tables of medical grades: an image's name and a grade from 0 on each row."""

from pathlib import Path

import pandas as pd

from ordinalclip.datasets.offenders import refuse
from ordinalclip.datasets.tablefile import read_table, require_columns

REMEDY = "see whether it is the table that was published; correct these rows, or take them out"


def read_grades(file: Path, *, image: str, grade: str, num_ranks: int) -> pd.DataFrame:
    """Read such a table; further columns are passed over.

    Args:
        file: with a header.
        image: column of the images' names, which have no suffix.
        grade: column of the grades.
        num_ranks: R; grades are 0…R-1.

    Returns:
        `image` (str), `rank` (int64) and `raw` (the grade as written).

    Raises:
        DataError: naming the rows without an image or a grade on the scale, and images that stand in two rows.
    """
    table = read_table(file)
    require_columns(table, file, [image, grade])
    names, cells = table[image].str.strip(), table[grade].str.strip()
    words = {str(rank): rank for rank in range(num_ranks)} | {f"{rank}.0": rank for rank in range(num_ranks)}
    rank = cells.map(words)
    shown = zip(names.fillna("(empty)"), cells.fillna("(empty)"), strict=True)
    told = [f"row {row}: {name}, {cell}" for row, (name, cell) in enumerate(shown, 2)]
    wrong = (names.isna() | rank.isna()).to_numpy()
    problem = f"rows have no image with a grade of 0…{num_ranks - 1}"
    refuse(file, [line for line, bad in zip(told, wrong, strict=True) if bad], problem, remedy=REMEDY)
    twice = names.duplicated(keep=False).to_numpy()
    problem, remedy = "rows share an image with another row", "keep one row of each image"
    refuse(file, [line for line, bad in zip(told, twice, strict=True) if bad], problem, remedy=remedy)
    return pd.DataFrame({"image": names, "rank": rank.astype("int64"), "raw": cells})
