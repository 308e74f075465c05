"""Benchmarks against a naive mode of our own, in one process: `python -m ordinalclip.bench text`."""
