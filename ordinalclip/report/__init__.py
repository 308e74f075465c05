"""Output of recorded runs: tables on the terminal, figures, report.html, published scores.

Imports `scoring`, `runs`, `config`, and `prompts` for interpolation weights; reads records, never loads models.
A new figure is a function in `figures`, and a line and a caption in `gallery`; a new score on the page a row in `page`.
"""
