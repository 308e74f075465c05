"""Figures of a run, one module per topic: functions that compute data, and functions that draw them to files.

Imports `metrics`, and `images` for pictures. matplotlib is imported when a figure is drawn.
A new figure is a function here, `styled`, that ends with `canvas.save`; add it to `report.gallery`.
"""
