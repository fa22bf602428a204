"""The ids of a sweep's runs: a store names a run when it gets it, which may be after the sweep."""

import time
from pathlib import Path

from rnnexp.app.jobs.lease import holder_of
from rnnexp.app.run.patience import Patience
from rnnexp.app.sweep.items import NOT_RUN, Item
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.app.sweep.unwritten import write_summary
from rnnexp.files import JOURNAL
from rnnexp.tracking import Tracking, add_artifact
from rnnexp.tracking.files import id_in

_POLL_SECONDS = 0.1


def name_runs(sweep: Sweep, patience: Patience) -> None:
    """Put the ids into the summary of a sweep that the store gave when it had been written.

    Args:
        sweep: whose record is ended, so that a kill while this waits does it no harm.
        patience: how long to wait for the store.
    """
    nameless = [item.folder for item in sweep.items if _is_nameless(item)]
    if not nameless or sweep.status in (None, "KILLED"):
        return
    with patience.waiting() as seconds:
        named = _wait(nameless, sweep.tracking, seconds)
    if not named or holder_of(sweep.folder) is not None:  # another command has it by now
        return
    file = write_summary(sweep.folder, sweep.with_earlier(sweep.outcomes))
    if file is not None:
        add_artifact(sweep.folder, file)


def _is_nameless(item: Item) -> bool:
    ended = item.outcome.error != NOT_RUN and (item.folder / JOURNAL).is_file()
    return ended and id_in(item.folder) is None


def _wait(folders: list[Path], tracking: Tracking, seconds: float) -> bool:
    """Tell whether any of them was named meanwhile."""
    left, until = folders, time.monotonic() + seconds
    while left and time.monotonic() < until:
        tracking.look_after()
        time.sleep(_POLL_SECONDS)
        left = [folder for folder in left if id_in(folder) is None]
    return len(left) < len(folders)
