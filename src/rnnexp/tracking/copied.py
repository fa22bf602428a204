"""The files of a run on their way to its store; what cannot be copied now is kept in mind."""

import os
import posixpath
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from rnnexp.errors import StoreError
from rnnexp.tracking.courier import say
from rnnexp.tracking.records import Record

File = tuple[str, str]
"""A file's place, in the run's folder, and its folder among the run's artifacts."""


class Files:
    """Copy a run's files, those that could not be copied again and again.

    Args:
        folder: the run's.
        copy: copies a file, given the run's id, the file and its folder among the artifacts.
        left: what could not be copied before.
    """

    def __init__(
        self, folder: Path, copy: Callable[[str, Path, str], None], left: Iterable[Iterable[str]]
    ) -> None:
        self._folder = folder.resolve()
        self._copy = copy
        self.left: dict[File, None] = {}
        """What is still to be copied, in this order."""
        for place, where in left:
            self.left[place, where] = None

    def send(self, run_id: str, records: Iterable[Record]) -> None:
        """Copy files, or leave them for `send_left`: they hold nothing else up."""
        new = [(str(r["path"]), str(r["folder"])) for r in records if r["kind"] == "artifact"]
        if new:
            self.left = {**dict.fromkeys(new), **self.left}
            with suppress(Exception):
                self.send_left(run_id)

    def send_left(self, run_id: str) -> None:
        """Copy what is left, up to the first that cannot be, which comes last the next time.

        Raises:
            Exception: what kept it from being copied.
        """
        while self.left:
            place, where = file = next(iter(self.left))
            del self.left[file]
            try:
                self._send(run_id, place, where)
            except Exception:
                self.left[file] = None
                raise

    def _send(self, run_id: str, place: str, where: str) -> None:
        file = (self._folder / place).resolve()
        # A journal may be somebody else's, and what is copied is there for all to read.
        if not file.is_relative_to(self._folder) or not _is_below(where):
            words = "is not copied: it lies outside, or is to go outside the run's artifacts"
            say(StoreError(f"{self._folder}: {file} {words} ({where!r})."))
        elif file.is_file():
            self._copy(run_id, self._folder / place, where)


def _is_below(where: str) -> bool:
    return not where or (where == posixpath.normpath(where) and where[0] not in "./")


def check_place(uri: str, root: Path) -> None:
    """Refuse a folder for artifacts that cannot be written: the record would lack all files.

    Args:
        uri: the store.
        root: the folder; it is made where it is not there.

    Raises:
        StoreError: it is a file, somebody else's, or in a folder that is.
    """
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise StoreError(
            f"tracking.uri={uri}: the files of its runs go to {root}, and {place} is no folder "
            "that can be written. Make it one, or start in another folder."
        )
