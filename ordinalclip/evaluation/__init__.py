"""A fitted model on a split, and a reopened run on any data.

Imports `training` for batches, `scoring` and `calibration` for numbers.
A new number of every run is added in `scoring`, not here.
"""
