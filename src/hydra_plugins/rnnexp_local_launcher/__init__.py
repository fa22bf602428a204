"""A Hydra launcher: one operating-system process per job, on this machine."""
