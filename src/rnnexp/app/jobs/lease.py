"""One job, one process: a lease with a heartbeat, and a token that grows with every holder."""

import os
import platform
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn

from rnnexp.errors import EXIT_FAILED, UserError
from rnnexp.files import CHECKPOINTS
from rnnexp.tracking.files import clear_left, locked, read_json, write_json

FILE, LOCK = "lease.json", ".lease.lock"
BUSY = 75
"""Exit code where another process has the lease: try again later."""
BEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""How long the lease of a process on another machine stands without a beat."""
_NUMBER = (int, float)
_KINDS = {"host": str, "pid": int, "started": (*_NUMBER, NoneType), "token": int, "beat": _NUMBER}
"""What stands in the file while somebody holds it."""


@dataclass(frozen=True)
class Holder:
    """Who holds, or held, a lease.

    Args:
        host: its machine.
        pid: its process there.
        started: when that process began, so that a number used again is no other.
        token: how often the lease has changed hands.
        beat: seconds since 1970 of the latest sign of life.
    """

    host: str
    pid: int
    started: float
    token: int
    beat: float

    @property
    def alive(self) -> bool:
        """Whether it is still at work: looked up on this machine, judged by the beat elsewhere."""
        if self.host != platform.node():
            return abs(time.time() - self.beat) < LEASE_SECONDS
        return process_start(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lease:
    """The right to run the job of a folder.

    Args:
        folder: the job's.
        token: of this holding.
    """

    def __init__(self, folder: Path, token: int) -> None:
        self.folder = folder
        self.token = token
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._beaten = time.monotonic()

    def is_mine(self) -> bool:
        """Tell whether nobody has taken the lease over, while this process slept for example."""
        holder = holder_of(self.folder)
        return holder is not None and holder.token == self.token

    def is_lost(self) -> bool:
        """Tell whether another process has taken it; a file that cannot be read says nothing."""
        if self._ended.is_set():  # handed back: it may be anybody's
            return False
        with suppress(OSError, ValueError):
            values = read_json(self.folder / FILE)
            return _is_lease(values) and values.get("token", self.token) != self.token
        return False

    def is_removed(self) -> bool:
        """Tell whether its folder was removed or renamed: what stands there now is no lease."""
        if self._ended.is_set():
            return False
        try:
            (self.folder / FILE).stat()
        except FileNotFoundError:
            return True
        except OSError:  # what cannot be looked up says nothing
            return False
        return False

    def beat(self) -> None:
        """Give a sign of life, if the last one is old; what a full disk refuses, the next try."""
        if time.monotonic() - self._beaten < BEAT_SECONDS:
            return
        with suppress(OSError), locked(self.folder / LOCK):
            if self.is_mine():
                _write(self.folder, self.token)
            self._beaten = time.monotonic()

    def release(self) -> None:
        """Hand the lease back; the token stays, for the next holder to count on."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        # Where the disk is full the lease stands until this process has ended, which is soon.
        with suppress(OSError), locked(self.folder / LOCK):
            if self.is_mine():
                write_json(self.folder / FILE, {"token": self.token})

    @contextmanager
    def beating(self) -> Generator[None]:
        """Give signs of life from a thread for the time of the block, then hand the lease back."""
        self.keep_beating()
        try:
            yield
        finally:
            self.release()

    def keep_beating(self) -> None:
        """Give signs of life from a thread until it is handed back; end the process if it is lost.

        Two processes that train in one folder would spoil each other's record and checkpoints; one
        whose folder was removed would train for a record that is no more.
        """
        self._thread = threading.Thread(target=self._keep_beating, name="lease", daemon=True)
        self._thread.start()

    def _keep_beating(self) -> None:
        while not self._ended.wait(1.0):
            if self.is_removed():
                words = "was removed or renamed while this process was at work in it"
                _end(f"{self.folder} {words}", EXIT_FAILED)
            if self.is_lost():
                who = holder_of(self.folder) or "another process"
                words = "has taken it over while this process stood still"
                _end(f"{self.folder}: {who} {words}", BUSY)
            self.beat()


def _end(why: str, code: int) -> NoReturn:
    # At once, and without a checkpoint: the folder is not this process's any more.
    try:
        print(f"rnnexp: {why}; it ends here", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def acquire(folder: Path, patience: float = 0.0) -> Lease | None:
    """Take the lease of a folder; None where a living process holds it for so many seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience
    while (lease := _try(folder)) is None and time.monotonic() < until:
        time.sleep(0.2)
    return lease


def _try(folder: Path) -> Lease | None:
    with locked(folder / LOCK):
        if at_work_in(folder) is not None:
            return None
        values = _read(folder)
        if "damaged" in values:
            words = "does not say any more whether a process is at work here; this one goes on"
            print(f"rnnexp: {folder / FILE} is damaged, and {words}", file=sys.stderr)
        token = int(values.get("token", 0)) + 1
        _write(folder, token)
    for place in (folder, folder / CHECKPOINTS):
        clear_left(place)
    return Lease(folder, token)


def holder_of(folder: Path) -> Holder | None:
    """Read who holds the lease; None where it was handed back."""
    values = _read(folder)
    return Holder(**{key: values[key] for key in _KINDS}) if "pid" in values else None


def at_work_in(folder: Path) -> Holder | None:
    """Read which process has the lease and is alive; None where there is none."""
    holder = holder_of(folder)
    return holder if holder is not None and holder.alive else None


def times_taken(folder: Path) -> int:
    """Count how often a process has taken the lease."""
    return int(_read(folder).get("token", 0))


def times_let_go(folder: Path) -> int:
    """Count how often a process has taken the lease that holds it no more."""
    return times_taken(folder) - (at_work_in(folder) is not None)


def _read(folder: Path) -> dict[str, Any]:
    with suppress(UserError):
        values = read_json(folder / FILE)
        if _is_lease(values):
            return values
    # Damaged, or edited by hand; who holds it, if anyone, sees by another token that it is lost.
    return {"token": int(time.time()), "damaged": True}


def _is_lease(values: Mapping[str, Any]) -> bool:
    asked = _KINDS if "pid" in values else _KINDS.keys() & values
    return all(isinstance(values.get(key), _KINDS[key]) for key in asked)


def process_start(pid: int) -> float | None:
    """Return when a process of this machine began, in a unit of the system; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _start_without_proc(pid)
    return None if fields[0] == "Z" else float(fields[19])


def _start_without_proc(pid: int) -> float | None:
    if Path("/proc/self").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0.0


def _write(folder: Path, token: int) -> None:
    pid = os.getpid()
    values = {"host": platform.node(), "pid": pid, "started": process_start(pid)}
    write_json(folder / FILE, {**values, "token": token, "beat": time.time()})
