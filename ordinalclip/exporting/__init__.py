"""A trained run in one folder: image tower, rank features, preprocessing, ranks, and nothing of the text."""
