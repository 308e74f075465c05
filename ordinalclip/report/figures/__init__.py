"""Figures of a run, one a file: each has a function of its data and one that draws it. matplotlib waits until then."""
