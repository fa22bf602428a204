"""What the files and folders of runs are called."""

from pathlib import Path

OUTPUTS = Path("outputs")
"""The folder that runs lie below."""
JOURNAL = "journal.jsonl"
"""The record of a run."""
CURSOR = "cursor.json"
"""How much of the record the store has."""
RUN = "run.json"
"""The id that the store has given the run."""
CONFIG = "config.yaml"
"""The config that a run was trained with, as it was resolved."""
SUMMARY = "summary.json"
"""How a run ended."""
CLIFFS = "cliffs.jsonl"
"""A line for each cliff."""
CHECKPOINTS = "checkpoints"
"""The folder of a run's checkpoints."""
DEFINITION = "sweep.json"
"""In the folder of a sweep: what it is."""
