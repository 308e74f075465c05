"""The columns of a manifest. Imports no library, so that settings are checked without pandas."""

from collections.abc import Hashable, Iterable

SPLITS = ("train", "val", "test")
CALIBRATION = "calibration"  # of val, what no epoch is chosen on: intervals are fitted there
ALL_SPLITS = ("train", "val", CALIBRATION, "test")
COLUMNS = ("path", "rank", "value", "subject", "group", "split", "sha256")
# The label as it was written, which every manifest has; what a data set may have beside: its standard deviation among
# annotators, the ranks that they gave (separated by blanks), the published fold. All further columns are attributes:
# sex, category, source, …
OPTIONAL = {"raw": "str", "deviation": "float64", "labels": "str", "fold": "str"}
WHOLE_SPLIT = "split_before_subset"  # of `take_subset`, where it left anything out
CLEAN_RANK = "rank_before_noise"  # of `subset.label_noise`


def attribute_columns(columns: Iterable[Hashable]) -> list[str]:
    """Those of a manifest's columns that describe images in the data set's own words."""
    known = {*COLUMNS, *OPTIONAL, WHOLE_SPLIT, CLEAN_RANK}
    return [str(column) for column in columns if column not in known]
