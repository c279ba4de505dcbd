"""The command `mvmeta`: fits, effect sizes, translations and data sets from the shell.

One file for each command; what is heavy (pandas, statsmodels) is imported where it is used:
`mvmeta --help` must not wait.
"""

from mvmeta.cli.main import main

__all__ = ["main"]
