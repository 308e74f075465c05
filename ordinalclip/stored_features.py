"""Features of a manifest's images where they lie on disk: what is asked for is read, and nothing else. No torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class StoredFeatures:
    """Features [N, F] in float32 as an array would hold them, of which only the rows that are asked for are in memory.

    Args:
        stores: memory maps [.., F].
        store_of: which of them has each row [N].
        row_of: and where there [N].
    """

    def __init__(self, stores: Sequence[np.ndarray], store_of: np.ndarray, row_of: np.ndarray) -> None:
        self._stores = [np.asarray(store) for store in stores]  # still maps, without a subclass's cost at each access
        self._store_of, self._row_of = store_of, row_of
        self.shape = (len(row_of), stores[0].shape[1])

    def __len__(self) -> int:
        return len(self._row_of)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """A copy [n, F] of some rows."""
        place = self._row_of[rows]
        if len(self._stores) == 1:
            return self._stores[0][place]
        store_of = self._store_of[rows]
        features = np.empty((len(place), self.shape[1]), dtype=np.float32)
        for number in np.unique(store_of):
            features[store_of == number] = self._stores[number][place[store_of == number]]
        return features

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them, copied into memory."""
        return self[np.arange(len(self))].astype(np.float32 if dtype is None else dtype, copy=False)
