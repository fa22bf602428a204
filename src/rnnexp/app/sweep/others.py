"""Jobs of a sweep that processes of an earlier command are still at work on."""

import platform
from pathlib import Path

from rnnexp.app.jobs.folder import is_done
from rnnexp.app.jobs.lease import at_work_in, holder_of


class Others:
    """Which processes had jobs when this command asked for them.

    The token of a lease tells them from the processes of this command, which take it later.
    """

    def __init__(self) -> None:
        self._tokens: dict[Path, int] = {}

    @property
    def folders(self) -> list[Path]:
        """The folders of their jobs."""
        return list(self._tokens)

    def note(self, folder: Path) -> None:
        """Take note of the process that has a job."""
        holder = holder_of(folder)
        if holder is not None:
            self._tokens[folder] = holder.token

    def have_after(self, folder: Path, code: int | None) -> bool:
        """Tell whether any process is at work on a job now that the one of this command has ended.

        Args:
            folder: the job's.
            code: how it ended; None where it was killed: on another machine its own lease then
                still seems to be held for a while.
        """
        holder = at_work_in(folder)
        known = code is not None or (holder is not None and holder.host == platform.node())
        if holder is not None and known and not is_done(folder):
            self.note(folder)
        return self.have(folder)

    def have(self, folder: Path) -> bool:
        """Tell whether the process that had a job is still at work on it."""
        holder = at_work_in(folder)
        return holder is not None and holder.token == self._tokens.get(folder)
