"""Data sets that are drawn on first use: "gauge" and "heads".

Imports the engine (`ordinalclip.datasets`) and `images`.
A change of a picture needs a new version in the set's folder name, so that no run mixes two.
"""
