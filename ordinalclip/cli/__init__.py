"""The command line: parsing of words, help texts, error messages and exit status.

Imports `config` and `errors`; no torch.
A new command is a module of `ordinalclip` with a usage text, whose `main` calls `run_command`.
"""
