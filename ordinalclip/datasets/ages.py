"""Ages as ranks: the manifest of every data set of ages in years, with a rank for each year."""

import numpy as np
import pandas as pd

from ordinalclip.datasets.bad_rows import refuse, usable
from ordinalclip.datasets.layout import Source
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.errors import ConfigError

SEX = {"m": "male", "f": "female"}


def build_ages(
    source: Source,
    table: pd.DataFrame,
    *,
    name: str,
    first_age: int,
    last_age: int,
    outside: str,
    what: str = "images",
) -> Manifest:
    """Build a manifest whose ranks are years of age: the column `value`, rounded to the nearest year, a half upwards.

    Args:
        source: the data set.
        table: `path`, `value` (age in years, may have decimals) and any further columns. Where `value` is text, as
            parsed from names, it is kept in `raw` and converted.
        name: short name of the data set.
        first_age: age of rank 0.
        last_age: age of the last rank.
        outside: "raise" for other ages, or "leave_out", for a subset such as ages 21…60.
        what: the images in words, for the error about missing ones: "images that x.csv names".

    Raises:
        ConfigError: `last_age` is not greater than `first_age`.
        DataError: for other ages, paths with `..`, and as `build_manifest`.
    """
    if last_age <= first_age:
        raise ConfigError("dataset.last_age", last_age, f"does not follow dataset.first_age={first_age}")
    if not source.allow_outside:
        # Such a path may be a second name of another row's image, which would be in train and in test.
        up = [path for path in table["path"] if ".." in path.split("/")]
        refuse(source.root, up, "paths go up through ..", remedy="write them from the data set's folder downwards")
    if isinstance(table["value"].dtype, pd.StringDtype):
        table = table.assign(raw=table["value"], value=table["value"].astype("float64"))
    years = np.floor(table["value"].to_numpy(dtype=float) + 0.5)
    table = usable(
        table.assign(rank=years - first_age),
        ~((years >= first_age) & (years <= last_age)),
        table["path"] + ": age " + table["value"].map("{:g}".format),
        source.notes,
        where=name,
        problem=f"ages outside {first_age}…{last_age}",
        remedy="correct the labels, widen dataset.first_age and dataset.last_age",
        on_error="skip" if outside == "leave_out" else "raise",
        setting="dataset.outside=leave_out",
    )
    source.require(table["path"].tolist(), what)
    ages = range(first_age, last_age + 1)
    return build_manifest(
        table.assign(rank=table["rank"].astype("int64")),
        name=name,
        rank_names=[str(age) for age in ages],
        rank_values=[float(age) for age in ages],
        unit="year",
        **source.options,
    )
