"""Mirrors of the record in MLflow: runs are copied from their directories into a store, never the other way round.

A run is identified in the store by a tag with our run id, and each value keeps its own timestamp. So copying is
idempotent, a resumed run continues as one run, and a deleted store can be rebuilt. Imports `runs`, `config`, `system`
and `errors`; MLflow is imported when a store is opened. Add a parameter, tag or artifact of a run in `describe`.
"""

from ordinalclip.tracking.describe import ARCHIVED_TAG, CREATED_TAG, RUN_ID_TAG, choices
from ordinalclip.tracking.mirror import Mirror, MLflowMirror, NoMirror

__all__ = ["ARCHIVED_TAG", "CREATED_TAG", "RUN_ID_TAG", "MLflowMirror", "Mirror", "NoMirror", "choices"]
