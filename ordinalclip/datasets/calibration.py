"""Part of val is kept from choosing the epoch, so that intervals and temperatures are fitted on images of their own."""

from dataclasses import replace

import numpy as np

from ordinalclip.datasets.columns import CALIBRATION
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import draw, families

LEAST = 10  # images, of either part; with fewer than nine there is no set that covers 90 %


def set_aside(manifest: Manifest, share: float, *, seed: int = 0, block_size: int | None = None) -> Manifest:
    """Turns a share of the val split into the split "calibration", every rank in proportion.

    Args:
        manifest: with its split; one that has calibration images already stays as it is.
        share: of the val images; 0 is none.
        seed: of the draw.
        block_size: consecutive rows that stay together; None: subjects and groups do.

    Returns:
        The manifest; where either part would have fewer than `LEAST` images it stays as it is, and a note says so.
    """
    table = manifest.table
    rows = np.flatnonzero((table["split"] == "val").to_numpy())
    if share == 0 or len(rows) == 0 or (table["split"] == CALIBRATION).any():
        return manifest
    unit = rows // block_size if block_size is not None else families(table.iloc[rows].reset_index(drop=True))
    unit = np.unique(unit, return_inverse=True)[1]
    fractions = np.array([1 - share, share])
    if unit.max() > 0:
        taken = draw(table.iloc[rows], unit, manifest.num_ranks, fractions, seed) == 1
        if min(taken.sum(), len(rows) - taken.sum()) >= LEAST:
            split = table["split"].copy()
            split.iloc[rows[taken]] = CALIBRATION
            return replace(manifest, table=table.assign(split=split))
    note = f"no intervals: {len(rows)} val images are too few to set {share:.0%} of them aside (protocol.calibration)"
    return replace(manifest, notes=(*manifest.notes, note))
