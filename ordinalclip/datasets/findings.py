"""What there is to say about a data set before it is trained on, as lines of text."""

from typing import Any

from ordinalclip.datasets.leakage import measure_leakage
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.rows import ON_ERROR

NUM_EXAMPLES = 3
_UNREADABLE = "images that cannot be used"


def findings(manifest: Manifest) -> list[str]:
    """Duplicates, leakage, notes and the hash.

    Args:
        manifest: with its split.
    """
    leaks = measure_leakage(manifest)
    lines = [f"{'duplicates':11} {line}" for line in duplicates(manifest)]
    lines += [_shared(kind, leaks[kind]) for kind in ("subjects", "groups")]
    lines += [f"{'note':11} {note}".replace("\n", "\n" + " " * 12) for note in manifest.notes]
    return [*lines, f"{'hash':11} {manifest.content_hash}"]


def stopping(manifest: Manifest) -> bool:
    """Whether anything was left out that training stops at under dataset.on_error=raise."""
    return any(
        (note.startswith("skipped ") and _UNREADABLE in note) or (note.startswith("left out ") and ON_ERROR in note)
        for note in manifest.notes
    )


def duplicates(manifest: Manifest) -> list[str]:
    """Images that are equal to the byte: how many, how many of those under different ranks or in different splits."""
    table = manifest.table
    equal = table[table.duplicated("sha256", keep=False)]
    if equal.empty:
        return ["none to the byte"]
    sets = equal.groupby("sha256")
    ranks, splits = sets["rank"].nunique(), sets["split"].nunique()
    lines = [f"{len(equal):,} images are copies of {len(ranks):,}, equal to the byte"]
    for odd, what in (
        (ranks > 1, "have copies under different ranks"),
        (splits > 1, "have copies in different splits"),
    ):
        examples = [" = ".join(sets.get_group(key)["path"].tolist()[:3]) for key in odd.index[odd][:NUM_EXAMPLES]]
        lines.append(f"{odd.sum():,} {what}" + (f": {'; '.join(examples)}" if examples else ""))
    return lines


def _shared(kind: str, found: dict[str, Any]) -> str:
    """How many subjects or groups there are, and how many stand in more than one split."""
    if not found["known"]:
        return f"{kind:11} not known"
    rate = "" if found["test_rate"] is None else f" ({found['test_rate']:.1%} of the test images)"
    return f"{kind:11} {found['units']:,}, of which {found['shared']:,} in more than one split{rate}"
