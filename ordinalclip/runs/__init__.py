"""The record of a run: its directory, lease, provenance and checksums, and the lookup of runs and sweeps.

Imports `system` and `errors`; no torch.
Add a file of the record with `Run.write` or `Run.publish`, which check that this process still owns the run.
"""
