"""TODO room."""

from pathlib import Path

VERSION = "0.1.0"
PACKAGE = Path(__file__).resolve().parent.parent  # the folder ordinalclip/
