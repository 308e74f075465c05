"""Running many runs: sweeps, planning, SLURM jobs, local workers, and an MLflow server for several machines.

May import ordinalclip, but not analysis. A command is a module with a `main`; a Hydra launcher is a module here and a
plugin in `hydra_plugins/` that imports it. Cost estimates of new towers and data sets are rows of `cost.yaml`.
"""
