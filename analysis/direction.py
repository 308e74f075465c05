"""Whether less or more of a score is better."""

from ordinalclip.errors import ConfigError

_LESS = ("mae", "amae", "mmae", "worst_group", "rps", "nll", "brier", "ece", "tce", "aurc", "epsilon_error", "loss")
_MORE = ("accuracy", "qwk", "spearman", "kendall", "cs", "unimodality", "ordinality")


def less_is_better(metric: str, told: str | None = None) -> bool:
    """Whether the least value of a score is the best.

    Args:
        metric: a column of the table, such as `test/mae_argmax`.
        told: "less" or "more", where the user says so.

    Raises:
        ConfigError: nothing is known of this score.
    """
    if told in ("less", "more"):
        return told == "less"
    base = "ordinality" if metric.startswith("ordinality") else metric.rpartition("/")[2]
    for names, less in ((_LESS, True), (_MORE, False)):
        if any(base == name or base.startswith(f"{name}_") for name in names):
            return less
    raise ConfigError("metric", metric, "is less of it better, or more?", remedy="say so: better=less or better=more")
