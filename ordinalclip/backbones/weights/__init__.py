"""Weights: which files a backbone needs, where they are, what they hash to, and how they are fetched.

Imports `system` and `errors`; no torch and none of the libraries whose weights they are.
A new source of published weights is added in `published`.
"""
