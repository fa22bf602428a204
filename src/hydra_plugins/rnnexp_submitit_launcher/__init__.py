"""Hydra launchers: one Slurm job per job, by submitit; or its local stand-in."""
