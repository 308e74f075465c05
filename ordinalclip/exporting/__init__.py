"""Exports: a trained run as one folder with image tower, rank features, preprocessing and a model card; no text tower.

Imports `inference` for the folder's format, `preparation`, `prompts` and `scoring`. `write` is the entry point.
A new file format is added in `graph` and in `inference.export_folder`, a new page in `pages` and `templates/`.
"""
