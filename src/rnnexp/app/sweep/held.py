"""One command at a time at a sweep."""

import shlex
from pathlib import Path

from rnnexp.app.jobs.lease import Lease, acquire, holder_of
from rnnexp.errors import ConfigError, RunError


def take(folder: Path) -> Lease:
    """Take the lease of a sweep, which keeps other commands off it.

    Args:
        folder: the sweep's.

    Raises:
        ConfigError: another command has it.
    """
    lease = acquire(folder)
    if lease is None:
        status = f"rnnexp sweep status {shlex.quote(folder.name)}"
        raise ConfigError(
            f"The sweep {folder.name} is running already: {holder_of(folder)}. See how "
            f"it does: {status}; or give this one a sweep.name."
        )
    return lease


def taken_over(folder: Path) -> RunError:
    """Say who has taken a sweep over, and what that means for this command.

    Args:
        folder: the sweep's.
    """
    who = holder_of(folder) or "another process"
    return RunError(
        f"The sweep {folder.name} has been taken over by {who} while this command stood "
        "still, and goes on there. This command ends, and asks its jobs to end, too."
    )
