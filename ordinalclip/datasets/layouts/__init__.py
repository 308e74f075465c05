"""Public data sets as published, one file a set.

A layout imports the engine (`ordinalclip.datasets`) and no other layout.
A new set is one file with a `load_<name>` and one yaml in conf/dataset.
"""
