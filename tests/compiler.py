"""A mark for tests that have something compiled."""

import os
import shutil

import pytest

needs_compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")
