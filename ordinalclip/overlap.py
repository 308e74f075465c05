"""What a run was fitted on among images that it is evaluated on: what would flatter the scores, as counts."""

from collections.abc import Iterable

import pandas as pd

from ordinalclip.datasets.columns import CALIBRATION
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.runs import Run

FITTED = ("train", "val", CALIBRATION)


def fitted_images(run: Run) -> pd.DataFrame | None:
    """Hash, rank, subject and split of a run's images that are not tested; None where its record has none.

    Imported runs have none.
    """
    file = run.directory / "manifest.parquet"
    if not file.is_file():
        return None
    table = pd.read_parquet(file, columns=["sha256", "rank", "subject", "split"])
    return table[table["split"].isin(FITTED)]


def overlap(
    fitted: pd.DataFrame | None, manifest: Manifest, images: Iterable[str], *, same_set: bool
) -> dict[str, int]:
    """How many of some images a run has seen.

    Args:
        fitted: from `fitted_images`.
        manifest: of the images.
        images: SHA-256 of those that are evaluated.
        same_set: whether the run's data set is this one, so that equal subjects are the same person.

    Returns:
        `num_trained_on`: images of the run's train split, equal to the byte; `num_chosen_on`: of its val split, by
        which its epoch was chosen and its intervals were fitted; `num_of_trained_subjects`: further ones, of subjects
        that are in its train split, where that can be known.
    """
    evaluated = manifest.table[manifest.table["sha256"].isin(set(images))]
    if fitted is None:
        return {"num_trained_on": 0, "num_chosen_on": 0}
    training = fitted["split"] == "train"
    trained = evaluated["sha256"].isin(fitted["sha256"][training])
    chosen = evaluated["sha256"].isin(fitted["sha256"][~training]) & ~trained
    found = {"num_trained_on": int(trained.sum()), "num_chosen_on": int(chosen.sum())}
    subjects = fitted["subject"][training].dropna()
    if same_set and len(subjects):
        found["num_of_trained_subjects"] = int((evaluated["subject"].isin(subjects) & ~trained).sum())
    return found


def overlap_told(found: dict[str, int], number: int) -> list[str]:
    """A line for each kind of which there is any."""
    words = {
        "num_trained_on": "were trained on",
        "num_chosen_on": "are of the val split that chose the epoch or fitted the intervals",
        "num_of_trained_subjects": "show subjects that were trained on",
    }
    return [f"{found[key]} of these {number} images {told}" for key, told in words.items() if found.get(key, 0) > 0]
