"""A data set under a model's ranks: a rank is the one with its value."""

from collections.abc import Sequence
from dataclasses import replace

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import DataError

_NUM_LISTED = 8


def match_ranks(manifest: Manifest, names: Sequence[str], values: Sequence[float]) -> Manifest:
    """A data set with its ranks in a model's order, matched by their values.

    Args:
        manifest: with its own ranks, which may be some of the model's.
        names: of the model's R ranks, which the data set takes over.
        values: of the model's R ranks.

    Raises:
        DataError: images have values that none of the model's ranks has; it says which.
    """
    theirs = manifest.rank_values
    used = sorted({theirs[rank] for rank in manifest.table["rank"].unique()})
    unknown = [value for value in used if value not in values]
    if unknown:
        here = _listed([value for value in values if value not in theirs])
        span = f"{min(values):g}…{max(values):g}"
        raise DataError(
            f"{manifest.name} has {len(theirs)} ranks, the run {len(values)}; "
            f"values only in {manifest.name}: {_listed(unknown)}; only in the run: {here}\n"
            "  what to do: give the same ranks the same values (dataset.rank_values=[…]), or leave out what the run "
            f"has no rank for: ages beyond {span} by dataset.first_age, dataset.last_age and dataset.outside=leave_out"
        )
    place = {value: rank for rank, value in enumerate(values)}
    rank = manifest.table["rank"].map(lambda rank: place[theirs[rank]]).astype("int64")
    table = manifest.table.assign(rank=rank).drop(columns="labels", errors="ignore")  # they are ranks of the old order
    return replace(manifest, table=table, rank_names=tuple(names), rank_values=tuple(values))


def unit_note(manifest: Manifest, unit: str) -> list[str]:
    """A note where a data set's values are in another unit than a model's, so that equal numbers may mean other things.

    Args:
        manifest: with its own unit.
        unit: of the model's values; empty where it is not known.
    """
    if not unit or not manifest.unit or manifest.unit == unit:
        return []
    return [f"ranks are matched by their values, and {manifest.name}'s are in {manifest.unit}, the run's in {unit}"]


def _listed(values: Sequence[float]) -> str:
    more = f" … and {len(values) - _NUM_LISTED} more" if len(values) > _NUM_LISTED else ""
    return ", ".join(f"{value:g}" for value in values[:_NUM_LISTED]) + more or "none"
