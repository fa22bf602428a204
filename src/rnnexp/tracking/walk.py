"""Find files of runs below a folder, without a look where no run can lie."""

import os
from collections.abc import Iterator
from pathlib import Path

from rnnexp.files import CHECKPOINTS, JOURNAL, OUTPUTS

_INSIDE = {CHECKPOINTS, "plugins", ".hydra"}
"""Folders of a run that hold files of its own only."""
_ARTIFACTS = "mlflow"
"""The folder, where runs lie, of what a store has of them: half of all folders."""


def files_named(name: str, *roots: Path) -> Iterator[Path]:
    """Find the files of a name at or below some folders.

    Args:
        name: of files that stand in the folder of a run.
        roots: the folders; one that is given is looked into, whatever it is called.
    """
    for root in roots:
        for place, folders, files in os.walk(root):
            if name in files:
                yield Path(place, name)
            folders[:] = [folder for folder in folders if not _is_apart(place, folder, files)]


def _is_apart(place: str, folder: str, files: list[str]) -> bool:
    if folder == _ARTIFACTS:
        return Path(place).resolve().name == OUTPUTS.name
    return folder in _INSIDE and JOURNAL in files  # a sweep may be called so, too
