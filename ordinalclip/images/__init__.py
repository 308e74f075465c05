"""Images: which files are accepted, how they are decoded, resized, cropped and normalized, and the cache of decoded
ones.

Imports `system` and `errors` only. A new input format belongs into `decoding.py`, which training, prediction, serving
and exports share; a new way to resize or augment into `preprocessing.py`; what is stored between runs into `cache.py`.
"""
