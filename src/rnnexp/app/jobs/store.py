"""The store of a project, where it, or what is in it, is not what and where it was."""

import sys
from pathlib import Path

from rnnexp.files import OUTPUTS
from rnnexp.tracking import experiment_with, follow_move, key_of, lies_beside


def artifact_root(uri: str) -> Path | None:
    """Name the folder for artifacts of a store in a file; None of a server, which has its own."""
    return (OUTPUTS / "mlflow").resolve() if uri.startswith("sqlite:") else None


def follow(uri: str) -> None:
    """Have a store name the place that its artifacts have now, and say so once.

    Args:
        uri: the store, which is about to be used.
    """
    root = artifact_root(uri)
    for old in follow_move(uri, root):
        words = f"was moved or copied, and its artifacts with it: from {old} to {root}"
        print(f"rnnexp: {uri} {words}. The record says so now.", file=sys.stderr)


def root_beside(uri: str) -> Path | None:
    """Say where artifacts lie that are one unit with a store; None where it stands for itself."""
    root = artifact_root(uri)
    return root if root is not None and lies_beside(uri, root) else None


def home_of(folder: Path, uri: str, asked: str) -> str:
    """Name the experiment in which a record goes on: it may have been renamed since, which is said.

    Args:
        folder: of a run or a sweep.
        uri: the store; a server is not asked.
        asked: the experiment that the command names, which new records go to.
    """
    key = key_of(folder)
    found = experiment_with(uri, key, asked) if key else None
    if found in (None, asked):
        return asked
    words = f"its record is in the experiment '{found}', and goes on there"
    print(f"rnnexp: {folder}: {words}: not in tracking.experiment={asked}.", file=sys.stderr)
    return str(found)
