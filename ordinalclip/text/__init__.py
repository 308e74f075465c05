"""From sentences of token embeddings to text features: whole sentences, or a shared prefix run once.

Imports torch and nothing of this project. The towers themselves are in `backbones.towers`.
A tower that can share a prefix implements `encoding.PrefixSharing`.
"""
