"""Backbones: a pretrained image tower and text tower with a projection between them, built by name in `load`.

Imports `text`, `images`, `config`, `system`, `errors`. Towers are in `towers`, their files in `weights`. A new backbone
is one `build_` function that returns a `backbone.Backbone`, with a yaml in `conf/backbone`.
"""
