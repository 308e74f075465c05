"""Losses: each takes the model's `Output` and the true ranks and returns a dict of scalars with "loss".

Imports `model`, `config`, `system`, `errors`. A loss is one module with one class and a yaml in `conf/loss`; losses do
not import each other.
"""
