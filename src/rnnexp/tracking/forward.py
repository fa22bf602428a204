"""Forward one journal to a store: in batches, from a cursor, each point exactly once.

The cursor is written after the store has taken a batch. If the forwarder dies between the two, the
batch is read again; the store is then asked what it has of it already. Where the cursor is damaged
or gone it is asked so of the whole journal. A store that keeps a point once is not asked.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rnnexp.files import CURSOR, JOURNAL, RUN
from rnnexp.tracking.copied import Files
from rnnexp.tracking.files import read_json, write_json
from rnnexp.tracking.journal import PROFILE, begins_at, read_from
from rnnexp.tracking.records import ERROR_TAG, Record, Status

KILLED = "the process was killed"
REMOVED = "its folder was removed before all of its record was delivered"
REFUSED = "refused"
"""In a cursor, the key of a run that the store does not take."""
_REFUSALS = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "PERMISSION_DENIED")
Point = tuple[str, float, int, int]
"""Key, value, milliseconds since 1970, step."""


class Store(Protocol):
    """What a tracking store can do; `rnnexp.tracking.mlflow_store` is the real one."""

    @property
    def keeps_once(self) -> bool:
        """Whether a point that it has already may be given again, and changes nothing."""
        ...

    def open_run(self, start: Record) -> str:
        """Create the run of a start record, or find it if it exists; return its id."""
        ...

    def experiment_of(self, run_id: str) -> str:
        """Return the id of the experiment a run belongs to."""
        ...

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        """Take points, in as many requests as it needs; some may be taken if one fails."""
        ...

    def steps_of(self, run_id: str, key: str) -> set[tuple[int, int]]:
        """Return step and time of all points that the store has of a metric."""
        ...

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags; a tag that exists gets the new value."""
        ...

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag, if there is one."""
        ...

    def log_artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Copy a file; one of the same name is replaced."""
        ...

    def end_run(self, run_id: str, status: Status, time: int) -> None:
        """Set the final status."""
        ...

    def close(self) -> None:
        """Leave the store."""
        ...


def is_refusal(error: BaseException) -> bool:
    """Tell whether MLflow has refused what it was given, as it would again."""
    return getattr(error, "error_code", None) in _REFUSALS


class Forwarder:
    """Deliver one run's journal.

    Args:
        folder: the run's folder.
        store: where it goes.
        cursor: name of the file in the folder that says how far this store has got.
        artifacts: URI of the folder for artifacts of a new experiment; None takes the recorded one.
    """

    def __init__(
        self, folder: Path, store: Store, cursor: str = CURSOR, artifacts: str | None = None
    ) -> None:
        self.folder = folder
        self.store = store
        self._artifacts = artifacts
        self._cursor = folder / cursor
        known = read_json(self._cursor, needed=False)
        self._offset = int(known.get("offset", 0))
        # Up to where the store may have what is read: it is asked then.
        self._unsure_to = self._offset + 1 if self._offset else 0
        if self._is_lost(known):
            self._offset, self._unsure_to = 0, (folder / JOURNAL).stat().st_size
        left = known.get("left", []) if self._offset else []
        self._files = Files(folder, store.log_artifact, left)
        self._stored: dict[str, set[tuple[int, int]]] = {}  # while it is unsure, by metric
        self._marked: set[str] = set(known.get("nonfinite", []))
        self._run_id: str | None = known.get("run_id")
        self.ended = bool(known.get("ended", False))
        self.ended_here = False
        """Whether the end of the run was delivered by this forwarder: nothing more will come."""

    def advance(self) -> bool:
        """Deliver one batch.

        Returns:
            Whether there was anything to deliver.
        """
        # Profiles are for the run's own pictures, and of a long sequence most of a journal.
        records, offset = read_from(self.folder / JOURNAL, self._offset, without=(PROFILE,))
        if offset == self._offset:
            return False
        try:
            self._deliver(records)
        except BaseException:
            # The store may have taken a part, or all and the reply was lost.
            self._unsure_to = max(self._unsure_to, offset)
            self._stored.clear()
            raise
        self._offset = offset
        if offset >= self._unsure_to:
            self._stored.clear()
        self._write_cursor()
        return True

    def drain(self) -> None:
        """Deliver everything the journal holds, but for files that cannot be copied."""
        while self.advance():
            pass

    def copy_left(self) -> None:
        """Try again to copy the files that could not be; the figures and the end wait for none.

        Raises:
            Exception: what the store's client raises at the first that still cannot be copied.
        """
        if self._files.left:
            try:
                self._files.send_left(self._id())
            finally:
                self._write_cursor()

    @property
    def has_more(self) -> bool:
        """Whether the journal holds a whole record that has not been delivered."""
        return bool(read_from(self.folder / JOURNAL, self._offset, limit=1)[0])

    def abandon(self, now: int) -> None:
        """Mark a run FAILED whose owner died without an ending."""
        if self.ended or self._run_id is None:
            return
        self.store.set_tags(self._run_id, {ERROR_TAG: KILLED})
        self.store.end_run(self._run_id, "FAILED", now)
        self.ended = True
        self._write_cursor()

    def lose(self, now: int) -> None:
        """Mark a run FAILED whose journal was removed: what it had not delivered is lost."""
        if self._run_id is not None and not self.ended:
            self.store.set_tags(self._run_id, {ERROR_TAG: REMOVED})
            self.store.end_run(self._run_id, "FAILED", now)
        self.ended = self.ended_here = True

    def _is_lost(self, known: Mapping[str, Any]) -> bool:
        """Whether the cursor is damaged or gone, or its journal is another one: a copy put back."""
        if "offset" not in known:
            return self._cursor.exists() or (self.folder / RUN).exists()
        return not begins_at(self.folder / JOURNAL, self._offset)

    def _write_cursor(self, more: Mapping[str, str] | None = None) -> None:
        state: dict[str, Any] = {"offset": self._offset, "run_id": self._run_id, **(more or {})}
        state |= {"ended": self.ended, "nonfinite": sorted(self._marked)}
        state["left"] = list(self._files.left)
        write_json(self._cursor, state)

    def _deliver(self, records: list[Record]) -> None:
        between: list[Record] = []
        for record in records:
            if record["kind"] not in ("start", "end"):
                between.append(record)
                continue
            self._log(between)
            between = []
            if record["kind"] == "start":
                self._start(record)
            else:
                self._end(self._id(), record)
        self._log(between)

    def _log(self, records: Sequence[Record]) -> None:
        # A request costs the store as much as a hundred points: one is for all points, one for all
        # tags. Files come last: where they cannot be copied the figures arrive all the same.
        points: list[Point] = []
        tags: dict[str, str] = {}
        for record in records:
            if record["kind"] == "metrics":
                points += _points(record)
            elif record["kind"] == "tags":
                tags |= record["values"]
        self._send(points, tags)
        self._files.send(self._run_id or "", records)

    def _start(self, record: Record) -> None:
        before, self._run_id = self._run_id, self._opened(record)
        if before != self._run_id:
            self._files.left.clear()  # what was left of another run has been written over
        self._stored.clear()  # it may be another run
        self.ended = self.ended_here = False
        experiment = self.store.experiment_of(self._run_id)
        known = {"run_id": self._run_id, "experiment_id": experiment, "key": record["key"]}
        write_json(self.folder / RUN, {**known, "uri": record["uri"]})

    def _opened(self, record: Record) -> str:
        try:
            place = self._artifacts or record.get("artifacts")
            return self.store.open_run({**record, "artifacts": place})
        except Exception as error:
            if is_refusal(error):  # who waits for the run's id need not
                self._write_cursor({REFUSED: record["key"]})
            raise

    def _end(self, run_id: str, record: Record) -> None:
        if record["reason"]:
            self.store.set_tags(run_id, {ERROR_TAG: record["reason"]})
        elif self.ended:  # it was given up as dead, and was not
            self.store.delete_tag(run_id, ERROR_TAG)
        self.store.end_run(run_id, record["status"], record["time"])
        self.ended = self.ended_here = True

    def _send(self, points: list[Point], tags: Mapping[str, str]) -> None:
        if points:
            run_id = self._id()
            unsure = self._offset < self._unsure_to and not self.store.keeps_once
            new = self._not_stored(run_id, points) if unsure else points
            self.store.log_metrics(run_id, new)
        marks = self._marks_of(points)
        if marks or tags:
            self.store.set_tags(self._id(), {**tags, **_named(marks)})
        self._marked |= marks.keys()

    def _not_stored(self, run_id: str, points: list[Point]) -> list[Point]:
        for key in {point[0] for point in points} - self._stored.keys():
            self._stored[key] = self.store.steps_of(run_id, key)
        return [p for p in points if (p[3], p[2]) not in self._stored[p[0]]]

    def _marks_of(self, points: Iterable[Point]) -> dict[str, str]:
        # MLflow turns infinity into 1.8e308 without a word: a tag keeps the truth.
        marks: dict[str, str] = {}
        for key, value, _, step in points:
            if not math.isfinite(value) and key not in self._marked | marks.keys():
                marks[key] = f"{value} at step {step}"
        return marks

    def _id(self) -> str:
        assert self._run_id is not None, "a journal begins with its start record"
        return self._run_id


def _named(marks: Mapping[str, str]) -> dict[str, str]:
    return {f"rnnexp.nonfinite.{key.replace('/', '.')}": text for key, text in marks.items()}


def _points(record: Record) -> list[Point]:
    step, time = int(record["step"]), int(record["time"])
    return [(str(key), float(value), time, step) for key, value in record["values"].items()]
