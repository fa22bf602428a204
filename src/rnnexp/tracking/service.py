"""What a training process sees of tracking: open a run, log to it, end it."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rnnexp.files import CURSOR, JOURNAL, RUN
from rnnexp.tracking.courier import LOG_FILE, Courier, last_problem
from rnnexp.tracking.files import read_json
from rnnexp.tracking.forward import REFUSED
from rnnexp.tracking.journal import JournalWriter, read_all
from rnnexp.tracking.records import (
    RunHeader,
    Status,
    artifact_record,
    end_record,
    metrics_record,
    milliseconds,
    profile_record,
    start_record,
    tags_record,
)

_POLL_SECONDS = 0.05
_SINK_SECONDS = 30.0
"""Between two starts of a sink that dies again and again: each takes seconds of a core."""


class RunLog:
    """The record of one run. No call waits for a disk or a store unless it says so.

    Its ``seconds_before`` are those that earlier processes have spent on a run that goes on.

    Args:
        folder: the run's folder.
        header: what is known of the run.
        uri: the store it goes to.
        artifacts: URI of the folder for artifacts of a new experiment.
        background: False writes at each call, without a thread: a process with one cannot fork.
        turn: what the thread does besides, twice a second; who waits for the store's answer, too.
    """

    def __init__(
        self,
        folder: Path,
        header: RunHeader,
        uri: str,
        artifacts: str | None,
        background: bool = True,
        turn: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self._turn = turn or (lambda: None)
        earlier = _earlier(folder) if header.continues else _Earlier()
        self._journal = JournalWriter(folder, background, turn)
        self.key = earlier.key or uuid.uuid4().hex
        self._recorded, self._profiled = earlier.steps, earlier.profiles
        self.seconds_before = earlier.milliseconds / 1000
        header = replace(header, run_id=header.run_id or earlier.run_id)
        self._journal.append(start_record(header, self.key, uri, artifacts, milliseconds()))
        self._journal.flush()

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log figures of a step; what a run that goes on has logged before is left out."""
        if self._recorded:
            values = {k: v for k, v in values.items() if step > self._recorded.get(k, -1)}
        if not values:
            return
        self._journal.append_figures(metrics_record(values, step, milliseconds()))

    def profile(self, values: Mapping[str, Sequence[float]], step: int) -> None:
        """Keep norms over time in the journal; no store has a place for them."""
        if step > self._profiled:
            self._journal.append_figures(profile_record(values, step))

    def flush(self) -> None:
        """Put on disk what has been logged so far."""
        self._journal.flush()

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._journal.append(tags_record(values))

    def artifact(self, path: Path, folder: str = "") -> None:
        """Have a file copied to the store, as it is when the store takes it."""
        self._journal.append(artifact_record(self.folder, path, folder))

    def end(self, status: Status, reason: str | None = None) -> None:
        """Say how the run ended, and put everything on disk."""
        self._journal.append(end_record(status, reason, milliseconds()))
        self._journal.close()

    @property
    def error(self) -> OSError | None:
        """What kept the latest records from the disk, if anything did."""
        return self._journal.error

    @property
    def problem(self) -> str | None:
        """The same in words."""
        error = self._journal.error
        if error is None:
            return None
        return f"{self.folder}: the record cannot be written ({error.strerror or error})."

    def run_id(self, timeout: float) -> str | None:
        """Wait until the store has named the run; None if it refuses, or has not in time."""
        until = time.monotonic() + timeout
        # An earlier run may have left its file in the same folder.
        while (found := read_json(self.folder / RUN, needed=False)).get("key") != self.key:
            if time.monotonic() > until or self._is_refused():
                return None
            self._turn()  # the journal's thread, which did it, has ended with the run
            time.sleep(_POLL_SECONDS)
        return str(found["run_id"])

    def _is_refused(self) -> bool:
        return read_json(self.folder / CURSOR, needed=False).get(REFUSED) == self.key


@dataclass
class _Earlier:
    key: str | None = None
    run_id: str | None = None
    steps: dict[str, int] = field(default_factory=dict[str, int])
    profiles: int = -1
    milliseconds: int = 0


def _earlier(folder: Path) -> _Earlier:
    # A killed run was ahead of its checkpoint: what it repeats stands in the journal already.
    found, latest = _Earlier(), 0
    for record in read_all(folder / JOURNAL):
        if record["kind"] == "start" and not record.get("continues"):
            # Its run may have been begun in another folder, under another key.
            found = _Earlier(str(record["key"]), record["run_id"])
        elif record["kind"] == "metrics":
            found.steps |= dict.fromkeys(record["values"], int(record["step"]))
            found.milliseconds += int(record["time"]) - latest
        elif record["kind"] == "profile":
            found.profiles = int(record["step"])
        # The end of a killed process is noted later, by another: its time says nothing.
        latest = int(record.get("time", latest))
    return found


class Journals:
    """The record keeper of a job of a sweep: it only writes; the sweep's process forwards.

    Args:
        uri: the store, as the records name it.
        artifact_root: folder for the artifacts of new experiments; None leaves it to the store.
    """

    def __init__(self, uri: str, artifact_root: Path | None) -> None:
        self.uri = uri
        self._artifacts = artifact_root.resolve().as_uri() if artifact_root else None

    def open_run(self, folder: Path, header: RunHeader, *, background: bool = True) -> RunLog:
        """Begin the record of a run in its folder."""
        return RunLog(folder, header, self.uri, self._artifacts, background, self.look_after)

    def look_after(self) -> None:
        """Do what is to be done from time to time; here nothing."""


class Tracking(Journals):
    """The record keeper of one command: its runs, and the process that forwards them.

    Args:
        uri: the store.
        artifact_root: folder for the artifacts of new experiments; None leaves it to the store.
        ready: a process that was started early, to forward them.
    """

    def __init__(self, uri: str, artifact_root: Path | None, ready: Courier | None = None) -> None:
        super().__init__(uri, artifact_root)
        self._ready = ready
        self._sink: Courier | None = None
        self._logs: list[RunLog] = []
        self._folders: list[Path] = []
        self._lock = threading.Lock()
        self._closed = False
        self._next_sink = 0.0

    def open_run(self, folder: Path, header: RunHeader, *, background: bool = True) -> RunLog:
        """Begin the record of a run in its folder."""
        log = super().open_run(folder, header, background=background)
        self._logs.append(log)
        self.forward(folder)
        return log

    def forward(self, folder: Path) -> None:
        """Forward a journal, whoever writes it; it has been begun."""
        with self._lock:
            self._folders.append(folder)
            if self._sink is None or not self._sink.tell([folder]):
                self._engage()

    def look_after(self) -> None:
        """Start another sink where it has died, of memory or by a stray kill."""
        with self._lock:
            if self._closed or not self._folders or not self._is_dead():
                return
            if time.monotonic() >= self._next_sink:
                self._next_sink = time.monotonic() + _SINK_SECONDS
                self._engage()

    def close(self, timeout: float) -> list[Path]:
        """Wait until the store has everything.

        Args:
            timeout: seconds; what the sink has not delivered by then it goes on with alone.

        Returns:
            The folders of runs that are not fully delivered.
        """
        until = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            if self._folders and self._is_dead():
                self._engage()
        if self._sink is not None and self._is_killed(self._sink, until) and self._left():
            self._engage()
            self._is_killed(self._sink, until)
        lost = {log.folder for log in self._logs if log.error}
        return [f for f in dict.fromkeys(self._folders) if f in lost or not delivered(f)]

    @staticmethod
    def _is_killed(sink: Courier, until: float) -> bool:
        # Until then it may deliver the rest. One that ends by itself has tried all it could.
        sink.hang_up()
        sink.wait(max(0.0, until - time.monotonic()))
        return sink.process.returncode < 0 and time.monotonic() < until

    @property
    def problem(self) -> str | None:
        """What the store answered last instead of taking records, in a line; None if it never did.

        It is of interest where `close` has named folders: the sink tries again until then.
        """
        return last_problem(self._sink.log) if self._sink and self._sink.log else None

    def _is_dead(self) -> bool:
        return self._sink is None or self._sink.process.poll() is not None

    def _engage(self) -> None:
        with suppress(OSError):  # no memory, say: a later turn may have it, or `rnnexp sync`
            self._start_sink()

    def _start_sink(self) -> None:
        # A sink that has died leaves its runs to the next.
        dead, ready = self._sink, self._ready
        self._sink = ready if ready is not None and ready.is_free else Courier()
        if dead is not None:
            dead.hang_up()
        self._sink.engage(self.uri, self._folders[-1] / LOG_FILE, self._left())

    def _left(self) -> list[Path]:
        return [folder for folder in self._folders if not delivered(folder)]


def delivered(folder: Path, cursor: str = CURSOR) -> bool:
    """Tell whether the store of a cursor has the whole journal of a run, and its files."""
    known = read_json(folder / cursor, needed=False)
    over = bool(known.get("ended")) and not known.get("left")
    return over and known["offset"] == (folder / JOURNAL).stat().st_size
