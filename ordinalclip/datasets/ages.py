"""Ages as ranks: what all data sets of ages in years end with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ordinalclip.datasets.bad_rows import refuse, usable
from ordinalclip.datasets.layout import require_files
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.errors import ConfigError

SEX = {"m": "male", "f": "female"}


def build_ages(
    table: pd.DataFrame,
    *,
    name: str,
    first_age: int,
    last_age: int,
    outside: str,
    root: Path,
    what: str,
    obtain: str,
    cache_dir: Path,
    on_error: str,
    allow_outside: bool,
    notes: Sequence[str],
) -> Manifest:
    """A rank for each year of age, from the column `value`.

    Args:
        table: `path`, `value` (age in years, perhaps with decimals), and whatever else is known. The rank is the age
            rounded to the nearest year, a half upwards.
        name: of the data set.
        first_age: the age of rank 0.
        last_age: the age of the last rank.
        outside: "raise" about ages beyond these two, or "leave_out", for a subset such as ages 21…60.
        root: folder of the images.
        what: the images in words, for the error where some are not there: "images that x.csv names".
        obtain: where the data come from.
        cache_dir: remembers the inspection.
        on_error: "raise" about images that are missing or broken, or "skip" and note them.
        allow_outside: let paths lead out of `root`.
        notes: what the loader has to say.

    Raises:
        ConfigError: where there are no two ages between the first and the last.
        DataError: for ages outside, paths with `..`, and as `build_manifest`.
    """
    if last_age <= first_age:
        raise ConfigError("dataset.last_age", last_age, f"does not follow dataset.first_age={first_age}")
    if not allow_outside:
        # Such a path may be a second name of another row's image, and tests what was trained on.
        up = [path for path in table["path"] if ".." in path.split("/")]
        refuse(root, up, "paths go up through ..", remedy="write them from the data set's folder downwards")
    told = list(notes)
    years = np.floor(table["value"].to_numpy(dtype=float) + 0.5)
    table = table.assign(rank=years - first_age)
    table = usable(
        table,
        ~((years >= first_age) & (years <= last_age)),
        table["path"] + ": age " + table["value"].map("{:g}".format),
        told,
        where=name,
        problem=f"ages outside {first_age}…{last_age}",
        remedy="correct the labels, widen dataset.first_age and dataset.last_age",
        on_error="skip" if outside == "leave_out" else "raise",
        setting="dataset.outside=leave_out",
    )
    if on_error == "raise":
        require_files(root, table["path"].tolist(), what=what, obtain=obtain)
    ages = range(first_age, last_age + 1)
    return build_manifest(
        table.assign(rank=table["rank"].astype("int64")),
        name=name,
        rank_names=[str(age) for age in ages],
        rank_values=[float(age) for age in ages],
        unit="year",
        root=root,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=told,
    )
