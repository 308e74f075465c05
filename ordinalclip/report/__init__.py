"""What a run looks like: tables on the terminal, figures, report.html, published scores.

Imports `scoring`, `runs`, `config`; reads records, never models.
A new figure is a function in `figures` and a line in `gallery`.
"""
