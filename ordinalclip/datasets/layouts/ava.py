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
    """Read the table of votes, the published lists, and the photos that are there.

    Args:
        root: folder of the data set.
        votes: its AVA.txt.
        images: folder in it with `<image id>.jpg`.
        train: list of the ids of training images; null takes all that are not tested on.
        test: list of the ids of test images; null leaves the split to the protocol.
        bins: edges of the ranks on the scale of 1 to 10, or how many ranks of about equal size.
        rank_names: a word per rank; null calls them by their edges.
        rank_values: a number per rank; null takes the middles.
        labels: keep each vote as a label, so that training may draw one or take their distribution.
        unit: of the values.
        obtain: where the data come from.
        on_error: "raise" about broken images, or "skip" and note them.
        allow_outside: let paths lead out of the folder of the images, by symbolic links say.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest; `value` is the mean vote, `deviation` the votes' deviation, `votes` how many chose each of 1…10,
        `challenge` an attribute; with `labels`, these are the votes one by one. Photos that are gone are left out and
        counted in the notes.

    Raises:
        ConfigError: where there is no such folder, or the bins cannot be, or make ranks that are no votes.
        DataError: for files that cannot be used, or when no photo is there.
    """
    lists = [name for name in (train, test) if name is not None]
    top = find_root(root, name="AVA", needs=[votes, images, *lists], obtain=obtain, allow_outside=allow_outside)
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
    if labels:
        each = votes_as_labels(counts, bins)
        if each is None:
            problem, allowed = "a vote is no rank where dataset.bins does not put each grade into its own", "false"
            raise ConfigError("dataset.labels", labels, problem, allowed=allowed)
        table["labels"] = each
    paths, there = named_images(top, images, ids, ".jpg")
    table = table.assign(path=paths, challenge=[fields[-1] for fields in lines])
    notes = list(grading.notes)
    if test is not None:
        tested = _read_ids(top / test)
        trained = set(ids) - tested if train is None else _read_ids(top / train)
        refuse(
            top, sorted(trained & tested), f"images stand in {train} and in {test}", remedy="keep each in one of them"
        )
        listed = np.array([image in tested or image in trained for image in ids])
        table["split"] = ["test" if image in tested else "train" for image in ids]
        if not listed.all():
            notes.append(f"{(~listed).sum():,} of {len(ids):,} images are in neither list and left out")
            table, there = table[listed].reset_index(drop=True), there[listed]
    table, gone = leave_out_missing(table, there, name="AVA", obtain=obtain)
    return build_manifest(
        table,
        name="ava",
        rank_names=grading.names,
        rank_values=grading.values,
        unit=unit,
        root=top,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=[*notes, *gone],
    )


def _read_ids(file: Path) -> set[str]:
    words = [line.strip() for line in read_lines(file) if line.strip()]
    ids = [re.sub(r"\.jpe?g$", "", word, flags=re.IGNORECASE) for word in words]
    refuse(
        file,
        [word for word, image in zip(words, ids, strict=True) if not image.isdecimal()],
        "lines are no image ids",
        remedy="keep one id a line",
    )
    return set(ids)
