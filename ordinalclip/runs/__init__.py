"""The record of a run: its directory, lease, provenance and checksums, and how a run or a sweep is found.

Imports `config`, `system`, `errors`; no torch.
What a run writes is written through `run.Run`, which checks that the run is still ours.
"""
