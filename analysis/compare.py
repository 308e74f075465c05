"""`python -m analysis.compare`: which setting is better, by how much, and whether the difference is significant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.run_selection import FORMAT_USAGE, RUN_USAGE, RUN_WORDS, read_words, runs_root, select_runs
from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError, did_you_mean

if TYPE_CHECKING:  # imported by the functions that need them, so that --help is fast
    import pandas as pd

    from analysis.comparison import Comparison

_SMALLER_IS_BETTER = (
    "mae",
    "amae",
    "mmae",
    "worst_group",
    "rps",
    "nll",
    "brier",
    "ece",
    "tce",
    "aurc",
    "epsilon_error",
    "loss",
)
_LARGER_IS_BETTER = ("accuracy", "qwk", "spearman", "kendall", "cs", "unimodality", "ordinality")
_OWN_KEYS = ("by", "metric", "level", "baseline", "better", "format", "out", *RUN_WORDS)
_USAGE = f"""\
OrdinalCLIP compares runs: mean ± standard deviation over seeds and folds, and differences with confidence intervals.

  python -m analysis.compare [sweep=NAME] [by=prompt] [metric=test/mae] [KEY=VALUE …]

{RUN_USAGE}
  by        settings that distinguish the groups, such as prompt or prompt,subset.shots (all that differ except seeds
            and folds)
  metric    such as test/mae, test/accuracy, test/qwk, ordinality; several separated by commas (test/mae)
  baseline  a group that the others are compared with, such as context (all pairs are compared)
  level     of intervals and of significance (0.95)
  better    less or more, for your own scores
{FORMAT_USAGE}

Differences are taken on the same test images. Their intervals include the variance of training (over seeds) and of
the choice of test subjects (bootstrap); over folds, they are corrected for shared training images (Nadeau and Bengio).
p-values are corrected for the number of comparisons (Holm). The best is bold only if it is ahead of all others.

Examples
  python -m analysis.compare sweep=prompts by=prompt
  python -m analysis.compare dataset=elpv lr=1e-3 by=prompt metric=test/mae,test/qwk format=latex,xlsx out=elpv"""


def main() -> None:
    """Entry point."""
    run_command(compare_command, _USAGE)


def compare_command(words: Sequence[str]) -> "list[Comparison]":
    """Compares runs, and prints or writes tables.

    Args:
        words: of the form key=value.

    Returns:
        One comparison per metric.

    Raises:
        ConfigError: if the runs cannot be compared.
    """
    from analysis.comparison import compare, sheets_of
    from analysis.frame import score_columns
    from analysis.sheets import read_formats, write_sheets

    typed = read_words(words)
    formats, out = read_formats(typed.get("format"), typed.get("out"))
    level = _parse_level(typed.get("level", "0.95"))
    metrics = typed.get("metric", "test/mae").split(",")
    frame = select_runs(typed, runs_root(), _OWN_KEYS)
    known = score_columns(frame)
    for metric in metrics:
        if metric not in known:
            allowed = ", ".join(name for name in known if "constant" not in name)
            raise ConfigError("metric", metric, "no run has it", allowed=allowed, remedy=did_you_mean(metric, known))
    less = {metric: less_is_better(metric, typed.get("better")) for metric in metrics}
    by = grouping_keys(frame, typed.get("by"))
    done = [compare(frame, by, m, less=less[m], level=level, baseline=typed.get("baseline")) for m in metrics]
    write_sheets([sheet for one in done for sheet in sheets_of(one)], formats, out)
    return done


def less_is_better(metric: str, better: str | None = None) -> bool:
    """Whether smaller values of a score are better.

    Args:
        metric: a column of the table, such as `test/mae_argmax`.
        better: "less" or "more", if typed by the user.

    Raises:
        ConfigError: if the score is not known and `better` is not given.
    """
    if better in ("less", "more"):
        return better == "less"
    base = "ordinality" if metric.startswith("ordinality") else metric.rpartition("/")[2]
    for names, less in ((_SMALLER_IS_BETTER, True), (_LARGER_IS_BETTER, False)):
        if any(base == name or base.startswith(f"{name}_") for name in names):
            return less
    raise ConfigError("metric", metric, "is less of it better, or more?", remedy="say so: better=less or better=more")


def grouping_keys(frame: "pd.DataFrame", typed: str | None) -> list[str]:
    """Returns the settings that distinguish groups: those typed, or as few as distinguish all different runs."""
    from analysis.groups import differing_settings, minimal_keys
    from analysis.run_selection import find_setting

    if typed is not None:
        return [find_setting(frame, word, "by", typed) for word in typed.split(",") if word]
    return minimal_keys(frame, differing_settings(frame[frame["state"] == "finished"]))


def _parse_level(typed: str) -> float:
    try:
        level = float(typed)
    except ValueError:
        level = 0.0
    if not 0.5 <= level < 1:
        raise ConfigError("level", typed, "is not a level", allowed="0.5 up to 1, such as 0.95")
    return level


if __name__ == "__main__":
    main()
