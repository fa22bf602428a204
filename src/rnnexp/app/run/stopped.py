"""What a run that a signal has ended leaves behind, and how to go on with it."""

import shlex
import shutil
import sys
from pathlib import Path

from rnnexp.app.config.command_line import key_value
from rnnexp.app.jobs.folder import outcome_of
from rnnexp.app.jobs.lease import FILE, LOCK, holder_of
from rnnexp.app.run.patience import Patience
from rnnexp.tracking import Tracking, delivered
from rnnexp.training.checkpoints import find_checkpoint

_BEFORE = (".hydra", FILE, LOCK)
"""What Hydra and the lease leave before a run begins."""


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


def after_end(folder: Path) -> str:
    """Say how a run had ended before a signal came, and what the store lacks of it.

    Args:
        folder: the run's.
    """
    outcome = outcome_of(folder)
    over = "is finished, and its record"
    if outcome is not None and outcome.status == "FAILED":
        over = "had failed already, and its record, which says why,"
    if delivered(folder):
        return f"the run {over} is delivered ({folder})."
    return (
        f"the run {over} is saved in {folder}; only its delivery was interrupted. "
        f"Deliver it: rnnexp sync {shlex.quote(str(folder))}"
    )


def deliver_rest(tracking: Tracking, patience: Patience) -> None:
    """Wait for the store; say what has not reached it then, why, and how to deliver it.

    Args:
        tracking: the record keeper of the command, which is closed.
        patience: how long to wait.
    """
    with patience.waiting() as seconds:
        folders = tracking.close(seconds)
    for folder in folders:
        where = f"rnnexp: {folder}: not all of it reached {tracking.uri} yet"
        print(f"{where}; later: rnnexp sync {shlex.quote(str(folder))}", file=sys.stderr)
    if folders and tracking.problem:
        print(f"rnnexp: the store's last answer: {tracking.problem}", file=sys.stderr)


def _was_empty(folder: Path) -> bool:
    if any(f.name not in _BEFORE for f in folder.iterdir()) or holder_of(folder) is not None:
        return False  # another process may have begun there by now
    shutil.rmtree(folder)
    return True
