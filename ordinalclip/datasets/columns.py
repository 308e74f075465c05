"""The columns of a manifest. Imports nothing, so that settings are checked without pandas."""

SPLITS = ("train", "val", "test")
CALIBRATION = "calibration"  # of val, what no epoch is chosen on: intervals are fitted there
ALL_SPLITS = ("train", "val", CALIBRATION, "test")
COLUMNS = ("path", "rank", "value", "subject", "group", "split", "sha256")
# What a data set may have beside: the label as it was written, its standard deviation among annotators, the ranks that
# they gave (separated by blanks), the published fold. All further columns are attributes: sex, category, source, …
OPTIONAL = {"raw": "str", "deviation": "float64", "labels": "str", "fold": "str"}
WHOLE_SPLIT = "split_before_subset"  # of `take_subset`, where it left anything out
CLEAN_RANK = "rank_before_noise"  # of `subset.label_noise`
