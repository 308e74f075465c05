"""The configuration: composed, checked, and hashed to a run id.

Imports `system` and `errors`; no torch, and no Hydra for `--help`.
A new setting is a key in conf/train.yaml, a field in `schema`, and a neutral value in `identity`.
"""
