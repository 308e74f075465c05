"""What MORPH II says twice and not alike: told, never mended."""

import numpy as np
import pandas as pd

from ordinalclip.datasets.offenders import listed

DATE = "%m/%d/%Y"  # of the columns dob and doa


def contradictions(table: pd.DataFrame) -> list[str]:
    """Notes on metadata that contradict each other.

    Args:
        table: `path`, `subject`, `value` (age), `name_age`, `name_sex` (M, F); from the CSV, as it writes them, also
            `id_num`, `dob`, `doa`, `race`, `gender`.

    Returns:
        A note for each kind of contradiction, with the number of subjects or images and the first of them.
    """
    notes = []
    for column, words in (("dob", "dates of birth"), ("race", "races"), ("gender", "sexes")):
        if column in table:
            several = table.groupby("subject")[column].unique()
            several = several[several.map(len) > 1]
            lines = [f"{subject}: {', '.join(map(str, given))}" for subject, given in several.items()]
            notes += _note(lines, f"subjects have two or more {words} in the CSV")
    aged = pd.to_numeric(table["name_age"])
    notes += _differing(table, "age in their names, and the table's is used", table["value"], aged)
    if "id_num" in table:
        notes += _differing(table, "sex in their names, and the CSV's is used", table["gender"], table["name_sex"])
        numbers = table["id_num"].str.strip().str.lstrip("0")
        notes += _differing(
            table, "subject in the CSV, and the names' is used", table["subject"].str.lstrip("0"), numbers
        )
        dated = _age_by_dates(table)
        if dated.isna().any():
            notes.append(
                f"{dated.isna().sum():,} rows of MORPH's CSV have dates that are not of the form month/day/year"
            )
        known = table[dated.notna()]
        notes += _differing(known, "age by their dates, and the column age is used", known["value"], dated.dropna())
    return notes


def _differing(table: pd.DataFrame, words: str, used: pd.Series, other: pd.Series) -> list[str]:
    wrong = (used != other).to_numpy()
    rows = zip(table["path"][wrong], used[wrong], other[wrong], strict=True)
    return _note([f"{path}: {_text(one)} and {_text(two)}" for path, one, two in rows], f"images have another {words}")


def _note(lines: list[str], words: str) -> list[str]:
    return [f"MORPH's metadata: {len(lines):,} {words}:\n{listed(lines)}"] if lines else []


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _age_by_dates(table: pd.DataFrame) -> pd.Series:
    born, taken = (pd.to_datetime(table[column], format=DATE, errors="coerce") for column in ("dob", "doa"))
    before = (taken.dt.month < born.dt.month) | ((taken.dt.month == born.dt.month) & (taken.dt.day < born.dt.day))
    years = taken.dt.year - born.dt.year - before
    return pd.Series(np.where(born.isna() | taken.isna(), np.nan, years), table.index)
