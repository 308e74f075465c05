"""Features of frozen image towers: computed once, kept on disk, memory-mapped.

Imports `backbones`, `images`, `datasets`, `system`.
`extraction` computes what `store` lacks; other rooms call `load_features` and `load_views`.
"""
