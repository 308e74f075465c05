"""Benchmarks against a naive implementation in the same process: `python -m ordinalclip.bench text`.

Imports the rooms that it measures, down to `training` and `execution`; nothing but `__main__` calls it.
A new benchmark is a module NAME with `measure_NAME`, listed in `__main__.MEASURES`; its target is added in `results`.
"""
