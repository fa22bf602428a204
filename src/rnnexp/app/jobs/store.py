"""The store of a project, where the project was moved or copied."""

import sys

from rnnexp.app.jobs.folder import artifact_root
from rnnexp.tracking import follow_move


def follow(uri: str) -> None:
    """Have a store name the place that its artifacts have now, and say so once.

    Args:
        uri: the store, which is about to be used.
    """
    root = artifact_root(uri)
    for old in follow_move(uri, root):
        words = f"was moved or copied, and its artifacts with it: from {old} to {root}"
        print(f"rnnexp: {uri} {words}. The record says so now.", file=sys.stderr)
