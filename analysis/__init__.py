"""Analysis of finished runs: tables of runs, comparisons with intervals, the paper's tables and figures, notebooks.

May import ordinalclip, but not launch. A command is a module with a `main`; it imports pandas, matplotlib and MLflow in
functions, so that `--help` is fast. A published score is a row of `published.csv`, a table of the paper an entry of
`paper_table.LAYOUTS`.
"""
