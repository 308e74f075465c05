"""Whether torch.compile can work on this machine. Imports no torch: it is asked before anything is run."""

import os
import shutil

from ordinalclip.errors import ConfigError


def check_compiler() -> None:
    """Raises a ConfigError where torch.compile would fail at the first step for want of a C++ compiler."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        remedy = "install one (Debian: apt-get install g++), name it in CXX, or leave compile=false"
        raise ConfigError("compile", "true", "there is no C++ compiler on this machine", remedy=remedy)
