"""AVA: photos of dpchallenge.com, each with about 200 votes from 1 to 10 on how it looks.

Murray, Marchesotti and Perronnin, "AVA: a large-scale database for aesthetic visual analysis", CVPR 2012.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.image_files import leave_out_missing, named_images
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.published_labels import votes_as_labels, votes_table
from ordinalclip.datasets.table_files import read_lines
from ordinalclip.errors import ConfigError, DataError

NUM_FIELDS = 15  # index, image, ten counts, two tags, challenge
VOTES = slice(2, 12)


def load_ava(
    *,
    root: str,
    votes: str = "AVA.txt",
    images: str = "images",
    train: str | None = None,
    test: str | None = None,
    bins: Sequence[float] | Annotated[int, Between(2, None)],
    rank_names: Sequence[str] | None = None,
    rank_values: Sequence[float] | None = None,
    labels: bool = False,
    unit: str = "mean vote",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load the table of votes and the photos that still exist; others are left out and counted in a note.

    In the manifest `value` is the mean vote, `deviation` the votes' deviation, `votes` the counts of 1…10, and
    `challenge` an attribute.

    Options:
        votes: AVA.txt.
        images: folder with `<image id>.jpg`.
        train: list of ids of training images; null for all that are not test images.
        test: list of ids of test images; null leaves the split to the protocol.
        bins: edges of the ranks on the scale of 1 to 10, or a number of ranks of about equal size.
        rank_names, rank_values: null for the edges, and for the middles.
        labels: keep each vote as a label, so that training can draw one or use their distribution; each vote must be a
            rank.
    """
    needs = [votes, images, *(name for name in (train, test) if name is not None)]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="AVA", needs=needs)
    top = source.root
    lines = [line.split() for line in read_lines(top / votes) if line.strip()]
    wrong = [
        " ".join(fields)[:80]
        for fields in lines
        if len(fields) != NUM_FIELDS or not all(map(str.isdecimal, fields)) or not any(map(int, fields[VOTES]))
    ]
    problem = f"lines are not {NUM_FIELDS} whole numbers with votes among them"
    refuse(top / votes, wrong, problem, remedy="copy the file again, or take these lines out")
    if not lines:
        raise DataError(f"{top / votes}: is empty\n  what to do: copy it again")
    ids = [fields[1] for fields in lines]
    counts = np.array([fields[VOTES] for fields in lines], dtype=float)
    table, grading = votes_table(counts, top / votes, bins, rank_names, rank_values)
    source.notes.extend(grading.notes)
    if labels:
        each = votes_as_labels(counts, bins)
        if each is None:
            problem, allowed = "a vote is no rank where dataset.bins does not put each grade into its own", "false"
            raise ConfigError("dataset.labels", labels, problem, allowed=allowed)
        table["labels"] = each
    paths, there = named_images(top, images, ids, ".jpg")
    table = table.assign(path=paths, challenge=[fields[-1] for fields in lines])
    if test is not None:
        tested = _read_ids(top / test)
        trained = set(ids) - tested if train is None else _read_ids(top / train)
        both = sorted(trained & tested)
        refuse(top, both, f"images are in {train} and in {test}", remedy="keep each in one of them")
        listed = np.array([image in tested or image in trained for image in ids])
        table["split"] = ["test" if image in tested else "train" for image in ids]
        if not listed.all():
            source.notes.append(f"{(~listed).sum():,} of {len(ids):,} images are in neither list and left out")
            table, there = table[listed].reset_index(drop=True), there[listed]
    table = leave_out_missing(source, table, there)
    return build_manifest(
        table, name="ava", rank_names=grading.names, rank_values=grading.values, unit=unit, **source.options
    )


def _read_ids(file: Path) -> set[str]:
    words = [line.strip() for line in read_lines(file) if line.strip()]
    ids = [re.sub(r"\.jpe?g$", "", word, flags=re.IGNORECASE) for word in words]
    wrong = [word for word, image in zip(words, ids, strict=True) if not image.isdecimal()]
    refuse(file, wrong, "lines are no image ids", remedy="keep one id a line")
    return set(ids)
