"""The configuration: `compose` makes it, `checks` checks it, `identity` hashes it to a run id.

Imports `system` and `errors`; no torch, and Hydra only to compose.
A new setting is a key in conf/train.yaml and a field in `schema`, with a neutral value in `identity`.
"""
