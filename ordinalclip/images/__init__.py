"""Images: which files are accepted, how they are decoded and preprocessed, and the cache of decoded images.

Imports `system` and `errors`. Add an input format to `decoding.py`, which all readers of images share;
a way to resize or augment to `preprocessing.py`; what is stored between runs is in `cache.py`.
"""
