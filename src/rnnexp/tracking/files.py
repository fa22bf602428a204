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
    """Say that an open journal is in use, until it is closed or its process has died."""
    with suppress(OSError):  # some network file systems know no locks
        fcntl.flock(file, fcntl.LOCK_SH)


@contextmanager
def claimed(path: Path) -> Generator[bool]:
    """Claim a journal for the time of the block; False where a living process holds it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # no locks here: nobody can hold it
            pass
        yield True
