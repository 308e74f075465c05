"""Data sets as manifests: tables of images with ranks, before any tensor is made."""
