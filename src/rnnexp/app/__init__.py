"""From a command line to a finished run: compose, check, build, train, report.

Five packages, each importing only from those before it: `config` and `jobs`, which do not know
each other, then `run`, `sweep`, `commands`.
"""
