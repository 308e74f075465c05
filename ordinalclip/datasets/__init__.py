"""Data sets as manifests: tables of images with ranks and splits, before any tensor is made.

Imports `images`, `cli`, `config`, `system` and `errors`, and never torch. `load.py` is the way from a config to a
manifest. Add a public data set as one file in `layouts/`, a rendered one in `drawn/`, a protocol to `splits.py` or
`folds.py`.
"""
