"""Hydra's basic sweeper, for a program that has composed its jobs before."""
