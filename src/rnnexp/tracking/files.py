"""Small files that are either old or new, never half; locks, where the file system has them."""

import fcntl
import json
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from rnnexp.errors import UserError
from rnnexp.files import CURSOR, RUN

TEMPORARY = ".rnnexp.tmp"
"""End of the name of a file that is to replace another: `clear_left` removes no other kind."""
_PATIENCE_SECONDS = 1.0
"""How long a claim may take before it is said: most only ask whether anybody writes."""


@contextmanager
def replaced(path: Path, *, sync: bool = True) -> Generator[IO[str]]:
    """Replace a file in one step at the end of the block; an error in it leaves the old one.

    Args:
        path: the file.
        sync: wait for the disk; without, a power cut can leave an empty file.

    Yields:
        The new one, open for text, beside the old.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with _open_held(beside) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
            beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _open_held(path: Path) -> IO[str]:
    while True:
        file = path.open("w", encoding="utf-8")
        with suppress(OSError):  # some network file systems know no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(path, file):
            return file
        file.close()  # `clear_left` took it for a dead process's before it was locked


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Let no other process in at the same time, as far as locks are to be had.

    A file system that knows none, as some over a network do, or a file of another user that may not
    even be read, keeps nobody from working.

    Args:
        path: a file for this, which stays.
    """
    file = _open_lock(path)
    if file is None:
        yield
        return
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:  # to close it is not enough where a copy of this process was forked meanwhile
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)


def _open_lock(path: Path) -> IO[bytes] | None:
    for mode in ("ab", "rb"):  # another user's may be there to be read alone
        with suppress(PermissionError):
            return cast("IO[bytes]", path.open(mode))
    return None


def clear_left(folder: Path) -> None:
    """Remove the temporary files that killed processes have left; one being written stays.

    Args:
        folder: where they were to replace others.
    """
    for path in folder.glob(f"*{TEMPORARY}"):
        with suppress(OSError), path.open("r+b") as file:
            # Locked and still there: whoever opens it now waits, and sees that it is gone.
            if is_held_by_others(file) is False and _is_at(path, file):
                path.unlink()


def _is_at(path: Path, file: IO[Any]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def write_json(path: Path, value: Any, indent: int | None = None, *, sync: bool = True) -> None:
    """Replace a file as `replaced` does."""
    text = json.dumps(value, indent=indent)
    with replaced(path, sync=sync) as file:
        file.write(text)


def read_json(path: Path, *, needed: bool = True) -> dict[str, Any]:
    """Read a mapping that `write_json` has written; an empty one where there is no file.

    Args:
        path: the file.
        needed: False where a damaged one counts as none: it is made again, or can be done without.

    Raises:
        UserError: it is damaged, and needed.
    """
    try:
        return _mapping(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        if not needed:
            return {}
        raise damaged(path, str(error)) from error


def id_in(folder: Path) -> str | None:
    """Give the id that the store has given the run of a folder, if it has; two files know it."""
    known = (read_json(folder / name, needed=False).get("run_id") for name in (RUN, CURSOR))
    return next(filter(None, known), None)


def damaged(path: Path, why: str) -> UserError:
    """Make the error for a small file that is needed and damaged."""
    return UserError(
        f"{path} is damaged: {why}. Put it back from a copy, or remove it, and give the same "
        "command again."
    )


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"it holds {value!r:.40}, and not names and values")
    return cast(dict[str, Any], value)


def hold(file: IO[bytes]) -> None:
    """Say that an open journal is in use, until it is closed or its process has died.

    Waits for the end of a claim, and says so where that takes long.

    Args:
        file: opened for reading, be it among other things: NFS shares no lock on another.
    """
    with suppress(OSError):  # some network file systems know no locks
        if not _shared_soon(file):
            words = "is waiting for `rnnexp sync`, which delivers it at this moment"
            print(f"rnnexp: the record in {Path(file.name).parent} {words}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_SH)


def _shared_soon(file: IO[bytes]) -> bool:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        time.sleep(_PATIENCE_SECONDS / 20)
    return False


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
