"""What a job prints, in a file of its own that is not let grow."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LOG = "log.txt"
LOG_BYTES = 32 << 20
"""How much of what a job prints is kept."""
_AGAIN = "[it is run again]"
_KEEP_SIZE, _PUNCH_HOLE = 1, 2


def begin_log(folder: Path) -> None:
    """Set what a job is about to print apart from what it printed when it ran before."""
    path = folder / LOG
    if path.is_file() and path.stat().st_size:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{_AGAIN}\n")


def log_tail(folder: Path, lines: int = 20) -> str:
    """Return the last lines that a job printed, this time."""
    path = folder / LOG
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        text = file.read().decode("utf-8", "replace")
    printed = text.rpartition(f"{_AGAIN}\n")[2]
    return "\n".join(printed.splitlines()[-lines:])


def cap_log(folder: Path, limit: int = LOG_BYTES, *, at_work: bool = False) -> None:
    """Cut the middle out of a log that is too long.

    Args:
        folder: the job's.
        limit: bytes; a half from the beginning stays, and a quarter from the end.
        at_work: a process may be writing to it. The room of the middle is then given back where
            it is, as a hole in the file: were the end moved, what is printed meanwhile would be
            lost, or stand before it. Only on a file system without holes is it moved all the same.
    """
    with suppress(FileNotFoundError), (folder / LOG).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        begin, end = limit // 2, size - limit // 4
        if size <= limit:
            return
        if not at_work or not _punch(file, begin, end):
            file.seek(end)
            kept = file.read()
            file.truncate(begin)
            with (folder / LOG).open("ab") as appended:
                appended.write(_left_out(begin, end) + kept)


def _punch(file: BinaryIO, begin: int, end: int) -> bool:
    """Give back the room between two places; False where the system cannot."""
    punch = getattr(ctypes.CDLL(None), "fallocate", None)
    if punch is None:
        return False
    places = ctypes.c_int64(begin), ctypes.c_int64(end - begin)
    if punch(file.fileno(), _KEEP_SIZE | _PUNCH_HOLE, *places) != 0:
        return False
    file.seek(begin)
    file.write(_left_out(begin, end))
    return True


def _left_out(begin: int, end: int) -> bytes:
    return f"\n[{end - begin} bytes are left out here]\n".encode()
