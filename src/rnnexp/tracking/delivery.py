"""One run's journal on its way to the store: held open, due from time to time, tried again."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from rnnexp.files import JOURNAL
from rnnexp.tracking.courier import say
from rnnexp.tracking.files import hold, is_held_by_others, open_to_claim
from rnnexp.tracking.forward import Forwarder, Store, is_refusal
from rnnexp.tracking.records import milliseconds
from rnnexp.tracking.stores import is_away

BATCH_SECONDS = 2.0
"""How long the records of a run gather: a request costs the store as much as a hundred points."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
LAST_PAUSE = 1.0
"""Between two tries once the owner has gone, when somebody may wait."""
GIVE_UP_SECONDS = 60.0
"""How long the store may be away after the owner has gone, but for the request under way then."""
DYING_SECONDS = 2.0
"""How long after the owner's end its runs' own processes may take to end."""


class Delivery:
    """Deliver one run, whatever becomes of the others.

    Args:
        folder: the run's folder.
        open_store: gives the store, or raises what its client does.

    Raises:
        OSError: the journal is not there, or too many files are open.
    """

    def __init__(self, folder: Path, open_store: Callable[[], Store]) -> None:
        self.folder = folder
        self._journal = open_to_claim(folder / JOURNAL)
        hold(self._journal)
        self._open_store = open_store
        self._forwarder: Forwarder | None = None
        self.is_idle = False
        """Whether the store had all that there was, when it was last looked at."""
        self.due = 0.0
        """When it is tried again, on the monotonic clock."""
        self._pause = FIRST_PAUSE
        self._failing_since: float | None = None
        self._orphan_since: float | None = None
        self._no_answer_at = 0.0
        self._is_refused = False

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    @property
    def is_failing(self) -> bool:
        """Whether its latest try has failed."""
        return self._failing_since is not None

    def found_no_store(self, since: float) -> bool:
        """Tell whether it has failed since then because no server answered, as others would."""
        return self._no_answer_at >= since

    @property
    def is_done(self) -> bool:
        """Whether the end of the run was delivered here: nothing more will come."""
        return self.is_idle and self._forwarder is not None and self._forwarder.ended_here

    def advance(self, owner_gone: bool) -> bool:
        """Deliver a batch, if one is due; an error is said, and it is tried again later.

        Returns:
            Whether there was anything to deliver, and it was.
        """
        if owner_gone and self._orphan_since is None:
            self._orphan_since, self.due = time.monotonic(), 0.0
        if time.monotonic() < self.due and (self.is_failing or not owner_gone):
            return False
        busy = self._try(self._advance)
        self.is_idle = not busy and not self.is_failing
        if busy:
            self.due = time.monotonic() + BATCH_SECONDS
        return busy

    def finish(self) -> bool:
        """Mark the run as failed if it has no ending and nobody writes it any more.

        Returns:
            Whether that is decided; False where it is to be tried again.
        """
        forwarder = self._forwarder
        if forwarder is None or forwarder.ended:
            return True
        if self._is_written():
            # A job elsewhere goes on without the one that has started it: it is no dead run.
            return self._orphaned_for() > DYING_SECONDS
        if forwarder.has_more:
            return False
        self._try(lambda: bool(forwarder.abandon(milliseconds())))
        return not self.is_failing

    def gives_up(self) -> bool:
        """Tell whether it has failed for too long since the owner has gone, or would for ever."""
        if self._is_refused and self._orphan_since is not None:
            return True
        failing = time.monotonic() - (self._failing_since or time.monotonic())
        return min(failing, self._orphaned_for()) > GIVE_UP_SECONDS

    def _orphaned_for(self) -> float:
        return time.monotonic() - (self._orphan_since or time.monotonic())

    def _is_written(self) -> bool:
        held = is_held_by_others(self._journal)
        hold(self._journal)  # as before: who writes here next must not wait for this process
        return bool(held)

    def _advance(self) -> bool:
        if self._forwarder is None:
            self._forwarder = Forwarder(self.folder, self._open_store())
        if self._is_removed():
            self._forwarder.lose(milliseconds())
            return False
        busy = self._forwarder.advance()
        if not busy:
            self._forwarder.copy_left()
        return busy

    def _is_removed(self) -> bool:
        # Another may stand by its name by now: it is of another run, and is delivered after this.
        return os.fstat(self._journal.fileno()).st_nlink == 0

    def _try(self, act: Callable[[], bool]) -> bool:
        try:
            busy = act()
        except Exception as error:  # whatever the store's client raises, it is tried again
            say(error)
            now = time.monotonic()
            self._is_refused = is_refusal(error) or isinstance(error, PermissionError)
            self._no_answer_at = now if is_away(error) else 0.0
            self._failing_since = self._failing_since or now
            self.due = now + (self._pause if self._orphan_since is None else LAST_PAUSE)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return False
        self._is_refused = False
        self._failing_since, self._pause = None, FIRST_PAUSE
        return busy
