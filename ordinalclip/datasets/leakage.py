"""What stands in more than one split: subjects, groups, images that are equal to the byte."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from ordinalclip.datasets.columns import ALL_SPLITS, SPLITS
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import DataError

KINDS = {"subjects": "subject", "groups": "group", "duplicates": "sha256"}
_WORDS = {"subjects": "subjects", "groups": "groups", "duplicates": "images, equal to the byte,"}
NUM_EXAMPLES = 5


def measure_leakage(manifest: Manifest) -> dict[str, Any]:
    """Count what several splits share.

    Args:
        manifest: with its split; rows without one do not count.

    Returns:
        For each of `KINDS`: `known`, images for which it is known; `units`, how many subjects (groups, different
        images) these have; `shared`, how many of them stand in more than one split; `pairs`, that number for each two
        splits; `test_images`, images of the test split whose subject (group, bytes) is also in another split;
        `test_rate`, their share of the test images for which it is known, None where that is none; `examples`.
    """
    table = manifest.table[manifest.table["split"].notna()]
    return {kind: _measure(table, column) for kind, column in KINDS.items()}


def _measure(table: pd.DataFrame, column: str) -> dict[str, Any]:
    known = table[table[column].notna()]
    codes, units = pd.factorize(known[column])
    splits = [split for split in ALL_SPLITS if split in SPLITS or (known["split"] == split).any()]
    present = {split: set(codes[(known["split"] == split).to_numpy()]) for split in splits}
    pairs = {f"{one}-{other}": len(present[one] & present[other]) for one, other in combinations(splits, 2)}
    shared = set().union(*(present[one] & present[other] for one, other in combinations(splits, 2)))
    tested = codes[(known["split"] == "test").to_numpy()]
    others = set().union(*(units for split, units in present.items() if split != "test"))
    seen = int(pd.Series(tested).isin(list(others)).sum())
    examples = sorted(shared)[:NUM_EXAMPLES]
    if column == "sha256":
        where = pd.Series(codes).isin(examples).to_numpy()
        named = known["path"].to_numpy()[where][:NUM_EXAMPLES].tolist()
    else:
        named = [str(units[code]) for code in examples]
    return {
        "known": len(known),
        "units": len(units),
        "shared": len(shared),
        "pairs": pairs,
        "test_images": seen,
        "test_rate": seen / len(tested) if len(tested) else None,
        "examples": named,
    }


def leakage_notes(report: Mapping[str, Any]) -> list[str]:
    """A warning for each kind of which there is any."""
    notes = []
    for kind, found in report.items():
        if kind in KINDS and found["shared"] > 0:
            rate = f" ({found['test_rate']:.1%} of the test images)" if found["test_images"] else ""
            more = " …" if found["shared"] > len(found["examples"]) else ""
            notes.append(
                f"warning: {found['shared']:,} {_WORDS[kind]} stand in more than one split{rate}, so the test is "
                f"easier than it seems: {', '.join(found['examples'])}{more}"
            )
    return notes


def forbid_leakage(name: str, report: Mapping[str, Any]) -> None:
    """Refuses a split that leaks.

    Raises:
        DataError: telling all that is shared.
    """
    notes = leakage_notes(report)
    if notes:
        told = "\n".join(f"  {note.removeprefix('warning: ')}" for note in notes)
        raise DataError(
            f"{name}: its splits share what protocol.leakage=forbid says they must not:\n{told}\n"
            "  what to do: protocol=folds or protocol=holdout keeps subjects and groups whole; images that are equal "
            "have to be taken out; protocol.leakage=warn goes on"
        )


def leakage_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """For MLflow: `leakage/<kind>` is the number shared, `leakage/<kind>_test_rate` the share of test images."""
    values: dict[str, float] = {}
    for kind, found in report.items():
        if found["known"] > 0:
            values[f"leakage/{kind}"] = float(found["shared"])
            values[f"leakage/{kind}_test_rate"] = float(found["test_rate"] or 0.0)
    return values
