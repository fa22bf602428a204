"""Hydra sweeper ``grid``: Hydra's basic one, for a program that has composed its jobs before."""
