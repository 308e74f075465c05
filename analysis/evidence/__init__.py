"""The evidence page (docs/evidence.md): a comparison of methods on generated images, from its runs to its tables.

May import the rest of analysis, and ordinalclip. `plan.py` lists methods, settings and variants: a new one is an entry
there; a new table is a section in `report.py`.
"""
