"""What a run that a signal has ended leaves behind, and how to go on with it."""

import shutil
from pathlib import Path

from rnnexp.app.config.command_line import key_value
from rnnexp.app.run.resume import JOURNAL
from rnnexp.training.checkpoints import find_checkpoint

_HYDRA = ".hydra"
"""What Hydra leaves before a run begins."""


def after_stop(folder: Path | None) -> str:
    """Say what is saved and how to go on; a folder in which no run has begun is removed.

    Args:
        folder: the run's; None where it had none yet.
    """
    if folder is None or not folder.is_dir() or _was_empty(folder):
        return (
            "the run had not begun: there is nothing to go on from. Start it by the same command "
            "again."
        )
    if find_checkpoint(folder).path is not None:
        return f"checkpoint and record are saved. Go on: rnnexp train {key_value('resume', folder)}"
    return (
        f"the record is saved in {folder}, and no checkpoint yet: there is nothing to go on from. "
        "Start again by the same command."
    )


def _was_empty(folder: Path) -> bool:
    if (folder / JOURNAL).is_file() or any(f.name != _HYDRA for f in folder.iterdir()):
        return False
    shutil.rmtree(folder)
    return True
