"""Import of the paper's own code: a configuration and a checkpoint become a finished run.

Imports `preparation` to build the model, `evaluation` to test it, and `runs` to record it.
A setting of the paper's code is translated in `config`, a parameter is renamed in `checkpoint`.
"""
