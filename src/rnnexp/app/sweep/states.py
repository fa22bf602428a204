"""How far the jobs of a sweep have come, as its command knows it while it runs them."""

import time
from collections.abc import Iterable
from pathlib import Path

from rnnexp.app.jobs.folder import State, state_of

HOLD_SECONDS = 30.0
"""How long a state is held of a job that only this command runs."""


class StateReader:
    """Reads how far jobs have come; while it holds, each once.

    A command that has its sweep asks at every end of a job, and twice a second, how thousands of
    jobs are: only those change that it runs, and those that other processes were left with.
    """

    def __init__(self) -> None:
        self._held: dict[Path, State] | None = None
        self._until = 0.0

    def of(self, folder: Path) -> State:
        """Tell how far a job has come."""
        if self._held is None:
            return state_of(folder)
        if folder not in self._held:
            self._held[folder] = state_of(folder)
        return self._held[folder]

    def hold(self, changing: Iterable[Path]) -> None:
        """Hold what is read from now on, but for what was held long.

        Args:
            changing: the folders of jobs that may have changed since.
        """
        now = time.monotonic()
        if self._held is None or now > self._until:
            self._held, self._until = {}, now + HOLD_SECONDS
        for folder in changing:
            self.forget(folder)

    def forget(self, folder: Path) -> None:
        """Read a job again when it is asked for."""
        if self._held is not None:
            self._held.pop(folder, None)

    def let_go(self) -> None:
        """Hold nothing any more: every job is read when it is asked for."""
        self._held = None
