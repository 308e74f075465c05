"""One fit: data of the splits, batches, the LightningModule, callbacks, processes.

Imports `preparation` and the rooms below it. `execution.fit` calls it.
A new callback is added in `callbacks`, a new kind of batch in `batches`.
"""
