"""Image and text towers by library: open_clip, timm, torchvision, and those of "mini".

Imports `text`, `images`, `backbones.weights`. No tower imports a builder (`backbones.openclip`, `mixed`, …).
A tower of another library is one module here and a line in the builder that uses it.
"""
