"""A trained run as a model that others use: images in, ranks out. No text tower is needed any more."""
