"""Optimisers that torch does not have: one of our own, and those of `pytorch_optimizer` with the arguments that count.

The latter are wrapped because the library's classes take any keyword, so a misspelt one would pass, and because three
of their defaults do not do what their papers say; see each wrapper.
"""
