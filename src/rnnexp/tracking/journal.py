"""A run's own file of records: written in batches by one owner, read by anyone.

A record is a line. The owner's calls only append to a list; a thread writes and syncs it twice a
second. A killed owner can leave half a line: it is cut when the journal is opened again.
"""

import json
import os
import shlex
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from rnnexp.errors import DamagedError
from rnnexp.files import JOURNAL
from rnnexp.tracking.files import hold, replaced
from rnnexp.tracking.records import Record

SYNC_SECONDS = 0.5
_BLOCK = 1 << 16


class JournalWriter:
    """The one owner of a run's journal.

    Args:
        folder: the run's folder.
        background: whether a thread of its own writes; else every `append` does.
        turn: what the thread does besides, each time that it has written.
    """

    def __init__(
        self, folder: Path, background: bool = True, turn: Callable[[], None] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / JOURNAL
        cut_torn_tail(self.path)
        # Unbuffered: after a failed write no remainder is left to be written a second time.
        self._file = self.path.open("a+b", buffering=0)
        hold(self._file)
        self._waiting: deque[bytes | Record] = deque()
        self._closed = threading.Event()
        self._writing = threading.Lock()
        self._turn = turn
        self.error: OSError | None = None
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._keep_writing, name="journal", daemon=True)
            self._thread.start()

    def append(self, record: Record) -> None:
        """Take a record; it is on disk within a second.

        Raises:
            TypeError: it holds something that JSON cannot.
        """
        self._waiting.append(_line(record))
        if self._thread is None:
            self.flush()

    def append_figures(self, record: Record) -> None:
        """Take a record that holds nothing but texts and numbers: the thread writes it as JSON.

        At every training step the caller has better things to do.
        """
        self._waiting.append(record)
        if self._thread is None:
            self.flush()

    def flush(self) -> None:
        """Write and sync what has been taken so far; a full disk is noted, not raised."""
        with self._writing:
            # Appends go on meanwhile, at the other end.
            taken = [self._encoded(self._waiting.popleft()) for _ in range(len(self._waiting))]
            try:
                self._write(b"".join(taken))
                self.error = None
            except OSError as error:
                self._waiting.extendleft(reversed(taken))  # tried again at the next turn
                self.error = error

    def close(self) -> None:
        """Write the rest and close the file."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()
        self._file.close()

    def _keep_writing(self) -> None:
        while not self._closed.wait(SYNC_SECONDS):
            self.flush()
            if self._turn is not None:
                self._turn()

    def _encoded(self, taken: bytes | Record) -> bytes:
        if isinstance(taken, bytes):
            return taken
        try:
            return _line(taken)
        except (TypeError, ValueError) as error:  # nobody is there to catch it, and others wait
            print(f"rnnexp: {self.path}: a record is left out: {error}", file=sys.stderr)
            return b""

    def _write(self, lines: bytes) -> None:
        if not lines:
            return
        begin = self._file.seek(0, os.SEEK_END)
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(begin)  # no half batch: all of it is written again
            raise


PROFILE = b'{"kind": "profile"'
FIGURES = (b'{"kind": "metrics"', PROFILE)
"""How lines of such records begin."""


def _line(record: Record) -> bytes:
    return json.dumps(record).encode() + b"\n"


def cut_torn_tail(path: Path) -> None:
    """Cut a last line that was not written to its end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        whole = _end_of_lines(file, size)
        if whole < size:
            file.truncate(whole)
            os.fsync(file.fileno())


def _end_of_lines(file: BinaryIO, size: int) -> int:
    # From the end on: what lies before the last line may be gigabytes.
    while size > 0:
        begin = max(0, size - _BLOCK)
        file.seek(begin)
        found = file.read(size - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        size = begin
    return 0


def read_from(
    path: Path, offset: int, limit: int = 1 << 20, without: tuple[bytes, ...] = ()
) -> tuple[list[Record], int]:
    """Read whole records from a byte offset on.

    Args:
        path: the journal.
        offset: where a record begins.
        limit: about how many bytes to read at most; at least one record is read.
        without: how lines begin that are passed over, and not parsed.

    Returns:
        The records, and the offset behind the last of them.

    Raises:
        DamagedError: a line is no record.
    """
    records: list[Record] = []
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            if not line.startswith(without):
                records.append(_record_of(line, path, offset))
            offset += len(line)
            limit -= len(line)
            if limit <= 0:
                break
    return records, offset


def _record_of(line: bytes, path: Path, offset: int) -> Record:
    try:
        return json.loads(line)
    except ValueError as error:
        raise DamagedError(
            f"{path} is damaged at byte {offset}: {error}. Put it back from a copy, or give up "
            f"what stands behind: truncate -s {offset} {shlex.quote(str(path))}"
        ) from error


def begins_at(path: Path, offset: int) -> bool:
    """Tell whether a record begins at a byte offset, or would if one were added."""
    with path.open("rb") as file:
        file.seek(max(0, offset - 1))
        return offset == 0 or file.read(1) == b"\n"


def append_line(path: Path, line: str) -> None:
    """Append a record to a file beside the journal, at once."""
    cut_torn_tail(path)  # half a line of a killed run would swallow this one
    with path.open("a", encoding="utf-8") as lines:
        lines.write(line + "\n")


def forget_after(path: Path, step: int) -> None:
    """Remove the records of later steps: a run that goes on from a checkpoint writes them again."""
    records = list(read_all(path))
    kept = [record for record in records if record["step"] <= step]
    if len(kept) < len(records):
        with replaced(path) as file:
            file.writelines(_line(record).decode() for record in kept)


def read_all(path: Path, without: tuple[bytes, ...] = ()) -> Iterator[Record]:
    """Read every whole record of a journal; none where there is no file.

    Args:
        path: the journal.
        without: see `read_from`.
    """
    offset, end = -1, 0
    while path.is_file() and end > offset:
        offset = end
        records, end = read_from(path, offset, without=without)
        yield from records
