"""MLflow as a window on the record: metrics.jsonl is copied into a store, never the other way round.

A run is found in the store by the tag that holds our run id, and each value keeps its own timestamp, so that copying
again is harmless, a resumed run goes on as the one it was, and a deleted store is rebuilt from the run directories.
Copies are made in a thread of their own: a store that is away, slow or broken costs a run nothing but a warning.
"""

from ordinalclip.tracking.describe import ARCHIVED_TAG, CREATED_TAG, RUN_ID_TAG, choices
from ordinalclip.tracking.mirror import Mirror, MLflowMirror, NoMirror

__all__ = ["ARCHIVED_TAG", "CREATED_TAG", "RUN_ID_TAG", "MLflowMirror", "Mirror", "NoMirror", "choices"]
