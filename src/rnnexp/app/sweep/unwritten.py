"""What the disk has not taken when a sweep wrote it: a moment's full disk ends no sweep."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rnnexp.tracking.files import write_json
from rnnexp.tracking.outcome import Outcome

_PATIENCE_SECONDS = 10.0


class Unwritten:
    """How jobs have ended whose ``summary.json`` is still to be written."""

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []

    def take(self, outcome: Outcome) -> None:
        """Write how a job has ended, or keep it until the disk has room.

        The first that the disk refuses is waited for: the next job would fail in the same way.
        """
        until = time.monotonic() + (0.0 if self._outcomes else _PATIENCE_SECONDS)
        self._outcomes.append(outcome)
        error = self.write()
        if error is not None:
            outcome.error = f"{outcome.error}; its folder cannot be written: {_reason(error)}"
        while self.write() is not None and time.monotonic() < until:
            time.sleep(_PATIENCE_SECONDS / 50)

    def write(self) -> OSError | None:
        """Write what is left.

        Returns:
            What the disk has refused it with; None where nothing is left.
        """
        while self._outcomes:
            try:
                self._outcomes[0].write()
            except OSError as error:
                return error
            del self._outcomes[0]
        return None

    def close(self) -> None:
        """Write what is left for the last time; say where that cannot be."""
        error = self.write()
        if error is not None:
            folders = ", ".join(outcome.folder for outcome in self._outcomes)
            words = f"how it has ended cannot be written: {_reason(error)}. The same command again"
            print(f"rnnexp: {folders}: {words} goes on with it.", file=sys.stderr)
        self._outcomes.clear()


def write_summary(folder: Path, outcomes: Sequence[Outcome]) -> Path | None:
    """Write how all jobs of a sweep have ended; say where that cannot be.

    Args:
        folder: the sweep's.
        outcomes: of the jobs.

    Returns:
        The file; None if it could not be written.
    """
    file = folder / "sweep_summary.json"
    try:
        write_json(file, [outcome.__dict__ for outcome in outcomes], indent=1)
    except OSError as error:
        words = f"cannot be written: {_reason(error)}. The same command again writes it."
        print(f"rnnexp: {file}: {words}", file=sys.stderr)
        return None
    return file


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
