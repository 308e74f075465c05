"""One run from start to end: `job` claims and records it, `fit` trains and tests it.

Imports everything below it; commands and `launch` call `job.run_job`.
What a run does after training is added in `fit`, what happens around a run in `job`.
"""
