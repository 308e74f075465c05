"""What there is to say about a data set before it is trained on, as lines of text."""

import pandas as pd

from ordinalclip.datasets.manifest import SPLITS, Manifest

NUM_EXAMPLES = 3
_UNREADABLE = "images that cannot be used"


def findings(manifest: Manifest) -> list[str]:
    """Duplicates, leakage, notes and the hash.

    Args:
        manifest: with its split.
    """
    table = manifest.table
    lines = [f"duplicates  {line}" for line in duplicates(manifest)]
    lines += [f"{column + 's':11} {_shared(table, column)}" for column in ("subject", "group")]
    lines += [f"note      {note}".replace("\n", "\n          ") for note in manifest.notes]
    return [*lines, f"hash      {manifest.content_hash}"]


def unreadable(manifest: Manifest) -> bool:
    """Whether images were left out as they cannot be read."""
    return any(note.startswith("skipped ") and _UNREADABLE in note for note in manifest.notes)


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


def _shared(table: pd.DataFrame, column: str) -> str:
    """How many there are, and which share of a split's images has one that training sees, too."""
    known = table[table[column].notna() & table["split"].notna()]
    if known.empty:
        return "not known"
    told = [f"{known[column].nunique():,}"]
    trained = set(known.loc[known["split"] == "train", column])
    for split in SPLITS[1:]:
        rows = known[known["split"] == split]
        seen = rows[column].isin(trained)
        if len(rows):
            told.append(f"{seen.sum():,} of {len(rows):,} {split} images ({seen.mean():.1%}) have one of training's")
    return "; ".join(told)
