"""Scores of recorded predictions: by name, per image, by subgroup, with intervals; ordinality of a record.

Imports `metrics`, `datasets`, `runs` and the rooms below.
A new score is a metric in `metrics`, its name in `metrics.names` and its function in `scores`.
"""
