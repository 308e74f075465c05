"""What every room needs of the machine: files, checksums, locks, signals, terminal, SLURM, processes.

Imports `errors` only. Knows nothing of runs, models or data sets.
A new module belongs here when it would be useful in another project.
"""

from pathlib import Path

VERSION = "0.1.0"
PACKAGE = Path(__file__).resolve().parent.parent  # the folder ordinalclip/
