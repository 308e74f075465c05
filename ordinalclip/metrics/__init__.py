"""Metrics for ordinal targets: a function with the formula, and a thin torchmetrics class where it accumulates."""
