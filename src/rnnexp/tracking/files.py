"""Small files that are either old or new, never half: the cursor and the run's id."""

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

CURSOR = "cursor.json"
RUN = "run.json"


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Replace a file in one step: write beside it, sync, rename."""
    text = json.dumps(value, indent=indent)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def replace_json(path: Path, value: Any) -> None:
    """Replace a file in one step, without waiting for the disk: for what nobody will miss."""
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(json.dumps(value), encoding="utf-8")
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of `write_json`; an empty mapping where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def hold(file: IO[bytes]) -> None:
    """Say that an open journal is in use, until it is closed or its process has died.

    Args:
        file: opened for reading, be it among other things: NFS shares no lock on another.
    """
    with suppress(OSError):  # some network file systems know no locks
        fcntl.flock(file, fcntl.LOCK_SH)


def is_held_by_others(file: IO[bytes]) -> bool | None:
    """Tell whether another process holds an open journal; None where that cannot be known.

    Args:
        file: opened for writing too: NFS gives no exclusive lock on another. A `hold` of the
            caller's own on this very file object does not count, and is an exclusive one if nobody
            else has one.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


@contextmanager
def claimed(path: Path) -> Generator[bool | None]:
    """Claim a journal for the time of the block.

    Yields:
        False where a living process holds it; None where that cannot be known.
    """
    with open_to_claim(path) as file:
        held = is_held_by_others(file)
        yield None if held is None else not held


def open_to_claim(path: Path) -> IO[bytes]:
    """Open a journal so that it can be held and claimed, as far as its permissions allow."""
    try:
        return path.open("r+b")
    except PermissionError:
        return path.open("rb")
