"""A Hydra sweeper: Optuna suggests the jobs, one at a time, whenever a place is free."""
