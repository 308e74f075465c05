"""The machine: files and locks, checksums, the cache, signals, SLURM, the terminal, distributed processes.

Imports `errors` only, and nothing about runs, models or data sets.
Add a module here if it would be useful in another project.
"""

from pathlib import Path

VERSION = "0.1.0"
PACKAGE = Path(__file__).resolve().parent.parent  # the folder ordinalclip/
