"""One command at a time at a sweep."""

import shlex
from pathlib import Path

from rnnexp.app.jobs.folder import SWEEPS
from rnnexp.app.jobs.lease import FILE, Lease, acquire, holder_of
from rnnexp.errors import ConfigError, RunError
from rnnexp.files import DEFINITION
from rnnexp.tracking import key_of
from rnnexp.tracking.files import read_json


def take(folder: Path) -> Lease:
    """Take the lease of a sweep, which keeps other commands off it.

    Args:
        folder: the sweep's.

    Raises:
        ConfigError: another command has it, or it is a copy of another sweep.
    """
    _refuse_copy(folder)
    lease = acquire(folder)
    if lease is None:
        status = f"rnnexp sweep status {shlex.quote(folder.name)}"
        raise ConfigError(
            f"The sweep {folder.name} is running already: {holder_of(folder)}. See how "
            f"it does: {status}; or give this one a sweep.name."
        )
    return lease


def _refuse_copy(folder: Path) -> None:
    # Its records have the keys of the other's, whose runs in the store they would overwrite. Where
    # the other is gone, the folder was renamed.
    name = read_json(folder / DEFINITION).get("name")
    if name is None or SWEEPS / name == folder or key_of(folder) is None:
        return
    if key_of(SWEEPS / name) == key_of(folder):
        raise ConfigError(
            f"{folder} is a copy of the sweep {name}, whose runs in the store it would overwrite. "
            f"Give sweep.name={name} to go on with that, or a name that has no folder yet."
        )


def is_lost(lease: Lease) -> bool:
    """Tell whether another command has taken a sweep over, or its folder was removed."""
    return lease.is_lost() or lease.is_removed()


def lost(folder: Path) -> RunError:
    """Say how a sweep was lost, and what that means for this command.

    Args:
        folder: the sweep's.
    """
    if not (folder / FILE).is_file():
        return RunError(
            f"The folder {folder} was removed while its sweep ran. This command ends, and asks its "
            "jobs to end, too. Given again, it begins anew."
        )
    who = holder_of(folder) or "another process"
    return RunError(
        f"The sweep {folder.name} has been taken over by {who} while this command stood "
        "still, and goes on there. This command ends, and asks its jobs to end, too."
    )
