"""Whether less or more of a score is better."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.choose import FORMAT_USAGE, RUN_USAGE, RUN_WORDS, read_words, runs_root
from ordinalclip.cli.command import run_command
from ordinalclip.config.signatures import did_you_mean
from ordinalclip.errors import ConfigError

if TYPE_CHECKING:  # tables and statistics take a second to import, which help does without
    import pandas as pd

    from analysis.comparison import Comparison


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


# MERGED: """`python -m analysis.compare`: which setting is better, by how much, and whether that is chance."""


_OURS = ("by", "metric", "level", "baseline", "better", "format", "out", *RUN_WORDS)
_USAGE = f"""\
OrdinalCLIP compares runs: mean ± standard deviation over seeds and folds, and differences with intervals.

  python -m analysis.compare [sweep=NAME] [by=prompt] [metric=test/mae] [KEY=VALUE …]

{RUN_USAGE}
  by        what tells the groups apart, such as prompt or prompt,subset.shots (all that differs but seeds and folds)
  metric    such as test/mae, test/accuracy, test/qwk, ordinality; several separated by commas (test/mae)
  baseline  a group that the others are compared with, such as context (every two are)
  level     of intervals and of what counts as ahead (0.95)
  better    less or more, for scores of your own
{FORMAT_USAGE}

Differences are taken on the same test images. Their intervals count chance in training (over seeds) and in which
subjects were tested (bootstrap), or over folds are corrected for the training images that folds share (Nadeau and
Bengio); p-values are corrected for the number of comparisons (Holm). The best is bold only where it is ahead of all.

Examples
  python -m analysis.compare sweep=prompts by=prompt
  python -m analysis.compare dataset=elpv lr=1e-3 by=prompt metric=test/mae,test/qwk format=latex,xlsx out=elpv"""


def main() -> None:
    """Entry point."""
    run_command(compare_command, _USAGE)


def compare_command(words: Sequence[str]) -> "list[Comparison]":
    """Compares what was typed, prints or writes tables.

    Args:
        words: of the form key=value.

    Returns:
        A comparison for each metric.

    Raises:
        ConfigError: for what cannot be compared.
    """
    from analysis.choose import choose_runs
    from analysis.comparison import compare, sheets_of
    from analysis.frame import score_columns
    from analysis.sheets import read_formats, write_sheets

    typed = read_words(words)
    formats, out = read_formats(typed.get("format"), typed.get("out"))
    level = _level(typed.get("level", "0.95"))
    metrics = typed.get("metric", "test/mae").split(",")
    filters = {key: value for key, value in typed.items() if key not in _OURS}
    frame = choose_runs({key: typed[key] for key in RUN_WORDS if key in typed}, filters, runs_root())
    known = score_columns(frame)
    for metric in metrics:
        if metric not in known:
            allowed = ", ".join(name for name in known if "constant" not in name)
            raise ConfigError("metric", metric, "no run has it", allowed=allowed, remedy=did_you_mean(metric, known))
    less = {metric: less_is_better(metric, typed.get("better")) for metric in metrics}
    by = keys_of(frame, typed.get("by"))
    done = [compare(frame, by, m, less=less[m], level=level, baseline=typed.get("baseline")) for m in metrics]
    write_sheets([sheet for one in done for sheet in sheets_of(one)], formats, out)
    return done


def keys_of(frame: "pd.DataFrame", typed: str | None) -> list[str]:
    """The settings that tell groups apart: those typed, or as few as tell all runs apart that differ."""
    from analysis.choose import setting
    from analysis.groups import differing, minimal

    if typed is not None:
        return [setting(frame, word, "by", typed) for word in typed.split(",") if word]
    return minimal(frame, differing(frame[frame["state"] == "finished"]))


def _level(typed: str) -> float:
    try:
        level = float(typed)
    except ValueError:
        level = 0.0
    if not 0.5 <= level < 1:
        raise ConfigError("level", typed, "is no level", allowed="0.5 up to 1, such as 0.95")
    return level


if __name__ == "__main__":
    main()
