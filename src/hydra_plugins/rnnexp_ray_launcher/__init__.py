"""A Hydra launcher: one Ray task per job, on this machine or on a cluster."""
