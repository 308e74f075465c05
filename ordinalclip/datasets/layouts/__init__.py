"""Public data sets in the layouts they are published in: a module for each, with its `load_<name>`.

To add one: a module here and a yaml in conf/dataset. Layouts import the readers of `datasets` and no other layout.

The docstrings of the loaders name the options of their data set. These are the same in all:
    root: folder of the data set.
    obtain: where the data can be obtained, for errors about missing files.
    on_error: "raise" lists all rows and images that cannot be used in one error; "skip" leaves them out with a note.
    allow_outside: allow paths that lead out of `root`, through `..` or by links.
    data_dir, cache_dir: `paths.data`, which yamls put into `root`, and the folder in which checks of images are cached.
    first_age, last_age: ages of the first and the last rank.
    outside: "raise" for other ages, or "leave_out".
    rank_names, rank_values, unit: a word and a number for each rank, and the unit of the numbers.

A loader raises ConfigError if `root` is not the data set's folder, and DataError for lists, labels or images that it
cannot use.
"""
