"""What repeats an experiment without changing it: runs that differ in nothing else are one row of every table."""

REPEATS = ("seed", "dataset.fold", "protocol.split.fold", "protocol.split.seed", "subset.seed")
