"""The command line: words, help, messages, exit status.

Imports `config`, `system`, `errors`.
A new command is a module of `ordinalclip` that calls `run_command`.
"""
