"""Data sets whose pictures are drawn on first use: `gauge` (dial instruments) and `heads` (rendered faces).

Imports `datasets` (the manifest), `images`, `config` and `system`. Each set has a `DRAWING_VERSION` in its folder's
name: raise it when a picture changes, so that old and new pictures are not mixed.
"""
