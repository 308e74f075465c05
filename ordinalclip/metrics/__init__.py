"""Metrics for ordinal targets: functions with the formulas, and torchmetrics classes that accumulate them.

Imports `config` and `errors` only. A new metric is a module here; one that every run reports is also added to
`names.SCORES` and to `scoring.scores`.
"""
