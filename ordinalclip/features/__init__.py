"""Features of frozen image towers: computed once per image, stored on disk and memory-mapped.

`store.py` finds and reads stored features and needs no torch; `extraction.py` computes the missing ones. Imports
`backbones`, `datasets`, `images`, `system` and `errors`. Anything that changes the stored numbers belongs into the key
(`feature_key`).
"""
