"""Sums over the files that a finished run's model is made of: a damaged or exchanged one is refused, not answered with.

They tell what a copy, a disk or a hand has changed. They are no signature: whoever writes a record can write its sums.
"""

from ordinalclip.runs import Run
from ordinalclip.sums import SUMS, check_sums, sums_of

_FILES = (
    "config.yaml",
    "identity.json",
    "ranks.json",
    "labels.json",
    "calibration.json",
    "rank_features.safetensors",
    "ckpt/best.ckpt",
)


def write_record_sums(run: Run) -> None:
    """Writes SHA256SUMS over what a claimed run is opened from; the last thing before it is called finished."""
    run.write(SUMS, sums_of(run.directory, _there(run)))


def check_record_sums(run: Run) -> None:
    """Compares a finished run's files with its sums; a run by an older version has none.

    Raises:
        DataError: a file is missing, truncated or another than was written, or the sums name one of them no more.
    """
    if (run.directory / SUMS).is_file():
        remedy = "copy the run's directory anew, or type its command with rerun=true"
        check_sums(run.directory, _there(run), remedy)


def _there(run: Run) -> list[str]:
    return [name for name in _FILES if (run.directory / name).is_file()]
