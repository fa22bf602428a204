"""What a cluster's queue says of the jobs of a sweep that wait in it, in words."""

import time
from collections.abc import Mapping
from pathlib import Path

from hydra_plugins.rnnexp_submitit_launcher._ledger import waiting

FIRST_SECONDS, AGAIN_SECONDS = 10.0, 60.0
_EXPECTED = {"None", "JobArrayTaskLimit"}
"""Not looked at yet; held back by the command's own array_parallelism."""


def in_words(reasons: Mapping[str, int]) -> str:
    """Say how many jobs wait, and why, as the queue calls it; nothing where none waits.

    Args:
        reasons: how many wait for each.
    """
    count, told = sum(reasons.values()), ", ".join(sorted(reasons))
    jobs = "1 job waits" if count == 1 else f"{count} jobs wait"
    return f"{jobs} in the queue: {told}" if count else ""


class QueueWatch:
    """Asks a queue once a minute, as long as a command watches its sweep.

    Args:
        folder: the sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words = ""
        self._next = time.monotonic() + FIRST_SECONDS
        self._said: set[str] = set()

    def look(self, now: float) -> str:
        """Ask, if it is time to.

        Args:
            now: as `time.monotonic` tells it.

        Returns:
            What is worth a line: `words`, where a reason is told for the first time.
        """
        if now < self._next:
            return ""
        reasons = waiting(self.folder)
        self._next = time.monotonic() + AGAIN_SECONDS
        self.words, new = in_words(reasons), reasons.keys() - self._said - _EXPECTED
        self._said |= new
        return self.words if new else ""
