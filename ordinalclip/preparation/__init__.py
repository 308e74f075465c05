"""From settings to a job that can start, and from a finished run's record back to a model.

Imports everything below it; no torch until a model is built.
A check that several groups must agree on is added in `checks`.
"""
