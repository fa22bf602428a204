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

from rnnexp.loading import leave, load
from rnnexp.tracking.courier import say
from rnnexp.tracking.delivery import GIVE_UP_SECONDS, Delivery
from rnnexp.tracking.forward import Store
from rnnexp.tracking.service import delivered

POLL_SECONDS = 0.2
SLOW_SECONDS = 1.0
"""A store that takes so long to fail would do so for every run: no other is tried in that turn."""
_MOST_FILES = 10_240
"""As many open files as macOS gives, whatever it says its limit is."""


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
        self._deliveries: list[Delivery] = []
        self._done: list[Path] = []
        self._given_up = 0
        self._store_due = 0.0
        self._latest_success = time.monotonic()
        self._store: Store | None = None

    def listen(self, lines: Iterator[str]) -> None:
        """Take folders until the owner is gone."""
        try:
            for line in lines:
                self._folders.put(Path(json.loads(line)["folder"]))
        finally:  # an owner that dies within a line leaves half of it
            self._latest_success = time.monotonic()  # the minute counts from the owner's end
            self.orphaned.set()

    def run(self) -> int:
        """Forward until the owner is gone and everything is delivered.

        Returns:
            0, or 1 if a run could not be delivered in the end.
        """
        while True:
            owner_gone = self.orphaned.is_set()  # before the turn: nothing is written after it
            busy = self._turn(owner_gone)
            if owner_gone and not busy and self._is_over():
                if self._store is not None:
                    self._store.close()
                return int(self._given_up > 0)
            if not busy:
                time.sleep(POLL_SECONDS)

    def _turn(self, owner_gone: bool) -> bool:
        self._adopt()
        if not owner_gone and time.monotonic() < self._store_due:
            return False
        delivered_some = False
        for delivery in tuple(self._deliveries):  # each has its turn
            begun = time.monotonic()
            if delivery.advance(owner_gone):
                self._latest_success, delivered_some = time.monotonic(), True
            elif delivery.is_done:
                self._let_go(delivery)
                self._done.append(delivery.folder)
            elif delivery.found_no_store(begun):
                # Thousands of runs must not ask a server that is away, each for itself.
                self._store_due = 0.0 if delivered_some else delivery.due
                self._put_last(delivery)
                break
            elif delivery.is_failing and time.monotonic() - begun > SLOW_SECONDS:
                self._put_last(delivery)
                break
        return delivered_some

    def _put_last(self, delivery: Delivery) -> None:
        self._deliveries.remove(delivery)
        self._deliveries.append(delivery)

    def _is_over(self) -> bool:
        """See, once the owner is gone, which runs are finished and which are hopeless."""
        hopeless = time.monotonic() - self._latest_success > GIVE_UP_SECONDS
        for delivery in tuple(self._deliveries):
            if delivery.is_idle and delivery.finish():
                self._let_go(delivery)
            elif not delivery.is_idle and (hopeless or delivery.gives_up()):
                delivery.finish()  # only files may be left, of a run that has no ending
                self._let_go(delivery)
                self._given_up += 1
        self._waiting += [folder for folder in self._done if not delivered(folder)]  # came late
        self._done.clear()
        return not self._deliveries and not self._waiting

    def _let_go(self, delivery: Delivery) -> None:
        # A sweep may have thousands of runs, and a process only so many open files.
        self._deliveries.remove(delivery)
        delivery.close()

    def _adopt(self) -> None:
        with suppress(Empty):
            while True:
                self._waiting.append(self._folders.get_nowait())
        while self._waiting and len(self._deliveries) < _most_held():
            folder = self._waiting.pop(0)
            if all(delivery.folder != folder for delivery in self._deliveries):
                self._take_up(folder)

    def _take_up(self, folder: Path) -> None:
        try:
            self._deliveries.append(Delivery(folder, self._open_store))
        except OSError as error:  # it was never begun, or is gone
            say(error)

    def _open_store(self) -> Store:
        if self._store is None:
            from rnnexp.tracking.mlflow_store import MlflowStore  # seconds, off training's path

            self._store = MlflowStore(self.uri)
        return self._store


def _most_held() -> int:
    # The store needs open files as well.
    return max(1, _at_most(resource.getrlimit(resource.RLIMIT_NOFILE)[0]) // 2)


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
    _allow_many_files()
    _load_client()
    first = sys.stdin.readline()
    if not first:  # the owner has no runs
        return 0
    order = json.loads(first)
    _say_errors_in(order["log"])
    sink = Sink(order["uri"])
    threading.Thread(target=sink.listen, args=(iter(sys.stdin),), daemon=True).start()
    return sink.run()


def _allow_many_files() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    now, wanted = map(_at_most, limits)
    if now < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limits[1]))


def _at_most(limit: int) -> int:
    return _MOST_FILES if limit == resource.RLIM_INFINITY else min(limit, _MOST_FILES)


def _load_client() -> None:
    # Seconds, while the owner composes. An error is said where the store is opened.
    with suppress(Exception):
        load("rnnexp.tracking.mlflow_store")
        load("rnnexp.tracking.mlflow_client").load_file_stores()


def _say_errors_in(log: str) -> None:
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())


if __name__ == "__main__":
    leave(main())
