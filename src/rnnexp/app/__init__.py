"""From a command line to a finished run: compose, check, build, train, report."""
