"""Test labels under seal: while a run is fitted they are not there, and asking for them is an error."""

from dataclasses import replace

import numpy as np

from ordinalclip.datasets.columns import CLEAN_RANK, OPTIONAL
from ordinalclip.datasets.manifest import Manifest

NO_RANK = -1  # which no loss or metric takes


class TestTouched(RuntimeError):
    """Something asked for test labels or test images before the run was fitted: a defect of the program."""

    __test__ = False  # pytest takes every class of such a name for tests


class Seal:
    """Keeps the labels of the test split from everything that fits a run.

    Hashing and caches need no label and are not kept from anything.

    Args:
        manifest: with its split.
        closed: False where a protocol selects on test, and for evaluations.
    """

    def __init__(self, manifest: Manifest, *, closed: bool) -> None:
        self._whole = manifest
        self._test = (manifest.table["split"] == "test").to_numpy()
        self.closed = closed
        self.manifest = _without_labels(manifest, self._test) if closed else manifest

    def open(self) -> Manifest:
        """Ends the seal, for the final evaluation: the manifest with all labels."""
        self.closed, self.manifest = False, self._whole
        return self._whole

    def ranks(self, rows: np.ndarray) -> np.ndarray:
        """True ranks of some rows of the manifest.

        Raises:
            TestTouched: one of them is of the test split, and the seal is closed.
        """
        if self.closed and self._test[rows].any():
            raise TestTouched(
                f"{int(self._test[rows].sum())} test images were asked for while the run is being fitted; "
                "only protocol.select_on=test may do so, and is told wherever the scores are"
            )
        return self._whole.table["rank"].to_numpy()[rows]


def _without_labels(manifest: Manifest, withheld: np.ndarray) -> Manifest:
    """The same images; whatever tells the label of some is gone."""
    known = ~withheld
    table = manifest.table.assign(rank=manifest.table["rank"].where(known, NO_RANK))
    for column in ("value", CLEAN_RANK, *OPTIONAL, *manifest.attributes):
        if column in table:
            table[column] = table[column].where(known)
    return replace(manifest, table=table)
