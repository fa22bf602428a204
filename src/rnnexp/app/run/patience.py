"""How long a command waits, when its runs are over, for the store to take their records."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

SILENT_SECONDS = 3.0
"""Longer waits are announced: a store that is there usually needs less."""
_LATE_SECONDS = 5.0
"""What is left of it after a signal that came when the runs had finished."""


class Patience:
    """The seconds that a command waits in all, however many things it waits for.

    Args:
        uri: the store.
        seconds: `tracking.wait` of the config.
        problem: tells what the store answered last instead of taking records, if it did.
    """

    def __init__(
        self, uri: str, seconds: float, problem: Callable[[], str | None] = lambda: None
    ) -> None:
        self.uri = uri
        self._problem = problem
        self.left = self._seconds = seconds

    @contextmanager
    def waiting(self) -> Generator[float]:
        """Give the seconds that are left to a block which waits; if it takes long, say so once."""
        begun, silent = time.monotonic(), SILENT_SECONDS - (self._seconds - self.left)
        notice = threading.Timer(silent, self._say)
        if 0 < silent < self.left:
            notice.start()
        try:
            yield self.left
        finally:
            notice.cancel()
            self.left = max(0.0, self.left - (time.monotonic() - begun))

    def shorten(self) -> None:
        """Wait a moment more at most: a signal has come."""
        self.left = min(self.left, _LATE_SECONDS)

    def _say(self) -> None:
        problem = self._problem()
        answer = f" Its last answer: {problem}" if problem else ""
        print(
            f"rnnexp: waiting for {self.uri} to take the record, {self._seconds:g} s at most "
            f"(tracking.wait). Ctrl-C leaves the rest to rnnexp sync.{answer}",
            file=sys.stderr,
        )
