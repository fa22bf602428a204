"""The background process that forwards journals: training never waits for the store.

It is told on standard input, a JSON line each: first the store and a file for its errors, then run
folders. When standard input ends, its owner has closed or died: it delivers all the rest, marks
runs without an ending as FAILED, and exits.
"""

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from rnnexp.loading import leave, load
from rnnexp.tracking.files import hold
from rnnexp.tracking.forward import Forwarder, Store
from rnnexp.tracking.journal import FILE
from rnnexp.tracking.service import delivered

POLL_SECONDS = 0.2
BATCH_SECONDS = 2.0
"""How long the records of a run gather: a request costs the store as much as a hundred points."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
GIVE_UP_SECONDS = 60.0
"""How long the store may be away after the owner has gone; `rnnexp sync` delivers later."""


class Sink:
    """Forward the journals of one owner to one store.

    Args:
        uri: the store.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.orphaned = threading.Event()
        self._folders: SimpleQueue[Path] = SimpleQueue()
        self._waiting: list[Path] = []
        self._forwarders: list[Forwarder] = []
        self._held: dict[Path, IO[bytes]] = {}
        self._done: list[Path] = []
        self._latest: dict[Forwarder, float] = {}
        self._store: Store | None = None
        self._pause = FIRST_PAUSE
        self._failing_since: float | None = None

    def listen(self, lines: Iterator[str]) -> None:
        """Take folders until the owner is gone."""
        for line in lines:
            self._folders.put(Path(json.loads(line)["folder"]))
        self.orphaned.set()

    def run(self) -> int:
        """Forward until the owner is gone and everything is delivered.

        Returns:
            0, or 1 if the store could not be reached in the end.
        """
        while True:
            owner_gone = self.orphaned.is_set()  # before the turn: nothing is written after it
            try:
                busy = self._turn(owner_gone)
                self._failing_since, self._pause = None, FIRST_PAUSE
            except Exception as error:  # whatever the store's client raises, it is tried again
                if self._gives_up(error, owner_gone):
                    return 1
                continue
            if owner_gone and not busy:
                return 0
            if not busy:
                time.sleep(POLL_SECONDS)

    def _turn(self, owner_gone: bool) -> bool:
        self._adopt()
        due = [f for f in self._forwarders if owner_gone or self._is_due(f)]
        busy = sum(self._advance(forwarder) for forwarder in due) > 0  # each has its turn
        if owner_gone and not busy:
            for forwarder in self._forwarders:
                forwarder.abandon(time.time_ns() // 1_000_000)
            return self._takes_up_what_came_late()
        return busy

    def _is_due(self, forwarder: Forwarder) -> bool:
        return time.monotonic() - self._latest.get(forwarder, 0.0) >= BATCH_SECONDS

    def _advance(self, forwarder: Forwarder) -> bool:
        busy = forwarder.advance()
        if busy:
            self._latest[forwarder] = time.monotonic()
        elif forwarder.ended_here:
            self._let_go(forwarder)
        return busy

    def _let_go(self, forwarder: Forwarder) -> None:
        # A sweep may have thousands of runs, and a process only so many open files.
        self._forwarders.remove(forwarder)
        self._latest.pop(forwarder, None)
        self._held.pop(forwarder.folder).close()
        self._done.append(forwarder.folder)

    def _takes_up_what_came_late(self) -> bool:
        late = [folder for folder in self._done if not delivered(folder)]
        self._done.clear()
        self._waiting += late
        return bool(late)

    def _adopt(self) -> None:
        with suppress(Empty):
            while True:
                self._waiting.append(self._folders.get_nowait())
        while self._waiting and self._holds(self._waiting[0]):
            folder = self._waiting[0]
            if all(forwarder.folder != folder for forwarder in self._forwarders):
                self._forwarders.append(Forwarder(folder, self._open_store()))
            self._waiting.pop(0)

    def _holds(self, folder: Path) -> bool:
        """Hold the journal of a run open; False where others must be delivered first."""
        if folder not in self._held:
            if len(self._held) >= _most_held():
                return False
            journal = (folder / FILE).open("rb")
            hold(journal)
            self._held[folder] = journal
        return True

    def _open_store(self) -> Store:
        if self._store is None:
            from rnnexp.tracking.mlflow_store import MlflowStore  # seconds, off training's path

            self._store = MlflowStore(self.uri)
        return self._store

    def _gives_up(self, error: Exception, owner_gone: bool) -> bool:
        print(f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {error}", file=sys.stderr)
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if owner_gone and now - self._failing_since > GIVE_UP_SECONDS:
            return True
        if self.orphaned.wait(self._pause) and not owner_gone:
            self._failing_since = now  # the minute counts from the owner's end
        elif owner_gone:
            time.sleep(min(self._pause, 1.0))
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return False


def _most_held() -> int:
    # The store needs open files as well.
    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


def let_others_go_first() -> None:
    """Lower the priority of this process: where all cores train, training goes first."""
    with suppress(OSError):
        os.nice(5)
        # Linux weighs a session against others by this figure; niceness counts only inside one,
        # and the jobs of a sweep have sessions of their own.
        if os.getsid(0) == os.getpid():
            Path("/proc/self/autogroup").write_text("10", encoding="utf-8")


def main() -> int:
    """Run a sink, once it is told for which store."""
    let_others_go_first()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _load_client()
    first = sys.stdin.readline()
    if not first:  # the owner has no runs
        return 0
    order = json.loads(first)
    _say_errors_in(order["log"])
    sink = Sink(order["uri"])
    threading.Thread(target=sink.listen, args=(iter(sys.stdin),), daemon=True).start()
    return sink.run()


def _load_client() -> None:
    # Seconds, while the owner composes. An error is said where the store is opened.
    with suppress(Exception):
        load("rnnexp.tracking.mlflow_store").load_file_stores()


def _say_errors_in(log: str) -> None:
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())


if __name__ == "__main__":
    leave(main())
