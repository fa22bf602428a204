"""The forwarder against a store that fails on purpose; see test_mlflow_store for the real one."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnexp.files import CURSOR, RUN
from rnnexp.tracking.files import read_json, write_json
from rnnexp.tracking.forward import KILLED, Forwarder, Point
from rnnexp.tracking.records import RunHeader
from rnnexp.tracking.service import RunLog, delivered


class AwayError(Exception):
    """The store does not answer."""


class MemoryStore:
    """Keep everything as given, duplicates too; calls fail before or after they took effect."""

    keeps_once = False

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.asked: list[str] = []
        self.tags: dict[str, str] = {}
        self.keys: list[str] = []
        self.ended: list[str] = []
        self.artifacts: list[tuple[str, str]] = []
        self.calls = 0
        self.failures: dict[int, str] = {}

    def _call(self, act) -> None:
        self.calls += 1
        failure = self.failures.get(self.calls)
        if failure == "before":
            raise AwayError
        act()
        if failure == "after":
            raise AwayError

    def open_run(self, start) -> str:
        key = start["run_id"] or start["key"]
        self._call(lambda: key in self.keys or self.keys.append(key))
        return f"run{self.keys.index(key)}"

    def experiment_of(self, run_id: str) -> str:
        return "1"

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        for begin in range(0, len(points), 1000):  # a failure leaves it with a part of them
            piece = points[begin : begin + 1000]
            self._call(lambda piece=piece: self.points.extend(piece))

    def steps_of(self, run_id: str, key: str) -> set[tuple[int, int]]:
        self.asked.append(key)
        return {(step, time) for name, _, time, step in self.points if name == key}

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._call(lambda: self.tags.update(tags))

    def delete_tag(self, run_id: str, key: str) -> None:
        self._call(lambda: self.tags.pop(key, None))

    def log_artifact(self, run_id: str, path: Path, folder: str) -> None:
        self._call(lambda: self.artifacts.append((path.name, folder)))

    def end_run(self, run_id: str, status: str, time: int) -> None:
        self._call(lambda: self.ended.append(status))

    def close(self) -> None: ...


HEADER = RunHeader("name", "experiment", {"a": "1"}, {"t": "x"})


def _record(folder: Path, steps: int, end: str | None = "FINISHED", keys=("loss",)) -> RunLog:
    log = RunLog(folder, HEADER, "sqlite:///x.db", None)
    for step in range(steps):
        log.metrics({key: float(step) for key in keys}, step)
    if end:
        log.end(end, None if end == "FINISHED" else "why")
    else:
        log._journal.close()
    return log


def _steps(store: MemoryStore, key: str = "loss") -> list[int]:
    return [step for name, _, _, step in store.points if name == key]


def test_everything_is_delivered_once(tmp_path: Path) -> None:
    log = RunLog(tmp_path, HEADER, "sqlite:///x.db", None)
    (tmp_path / "a.txt").touch()
    log.metrics({"loss": 1.0, "norm": 2.0}, 1)
    log.tags({"k": "v"})
    log.artifact(tmp_path / "a.txt", "folder")
    log.artifact(tmp_path / "gone.txt")
    log.metrics({"loss": 0.5}, 2)
    log.end("FINISHED")
    store = MemoryStore()
    forwarder = Forwarder(tmp_path, store)
    forwarder.drain()
    assert [(p[0], p[1], p[3]) for p in store.points] == [
        ("loss", 1.0, 1),
        ("norm", 2.0, 1),
        ("loss", 0.5, 2),
    ]
    assert (store.tags, store.ended) == ({"k": "v"}, ["FINISHED"])
    assert store.artifacts == [("a.txt", "folder")]
    assert delivered(tmp_path)
    assert not forwarder.advance()
    assert read_json(tmp_path / RUN)["run_id"] == "run0"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 7))
def test_failing_call_loses_and_repeats_nothing(tmp_path: Path, call: int, when: str) -> None:
    _record(tmp_path, 2500, end="FAILED")
    store = MemoryStore()
    store.failures[call] = when
    forwarder = Forwarder(tmp_path, store)
    failed = 0
    for _ in range(10):
        try:
            forwarder.drain()
        except AwayError:
            failed += 1
    assert failed == 1
    assert _steps(store) == list(range(2500))
    assert len(store.keys) == 1
    assert store.tags == {"rnnexp.error": "why"}
    assert set(store.ended) == {"FAILED"}
    assert delivered(tmp_path)


@given(st.dictionaries(st.integers(1, 40), st.sampled_from(["before", "after"]), max_size=12))
def test_any_failures_lose_and_repeat_nothing(
    tmp_path_factory: pytest.TempPathFactory, failures: dict[int, str]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    log = RunLog(folder, HEADER, "sqlite:///x.db", None)
    for step in range(5):
        log.metrics({"loss": math.nan if step == 2 else 1.0, "norm": 2.0}, step)
        log.tags({"last": str(step)})
    log.end("FINISHED")
    store = MemoryStore()
    store.failures = failures
    forwarder = Forwarder(folder, store)
    for attempt in range(20):
        try:
            forwarder.drain()
        except AwayError:  # every other time the process dies, too
            forwarder = Forwarder(folder, store) if attempt % 2 else forwarder
    assert _steps(store) == _steps(store, "norm") == list(range(5))
    assert store.tags == {"last": "4", "rnnexp.nonfinite.loss": "nan at step 2"}
    assert len(store.keys) == 1


def test_crash_between_store_and_cursor_repeats_nothing(tmp_path: Path) -> None:
    _record(tmp_path, 20, end=None)
    store = MemoryStore()
    Forwarder(tmp_path, store).drain()
    old = (tmp_path / CURSOR).read_bytes()
    with (tmp_path / "journal.jsonl").open("a") as file:  # it goes on behind the cursor
        for step in range(20, 40):
            record = {"kind": "metrics", "step": step, "time": step, "values": {"loss": 1.0}}
            file.write(json.dumps(record) + "\n")
    Forwarder(tmp_path, store).drain()
    (tmp_path / CURSOR).write_bytes(old)
    Forwarder(tmp_path, store).drain()
    assert _steps(store) == list(range(40))


def test_crash_before_the_first_cursor_repeats_nothing(tmp_path: Path) -> None:
    _record(tmp_path, 20)
    store = MemoryStore()
    Forwarder(tmp_path, store).drain()
    (tmp_path / CURSOR).unlink()
    Forwarder(tmp_path, store).drain()
    assert _steps(store) == list(range(20))
    assert len(store.keys) == 1


def test_points_and_tags_of_a_batch_are_a_request_each(tmp_path: Path) -> None:
    log, store = RunLog(tmp_path, HEADER, "sqlite:///x.db", None), MemoryStore()
    for step in range(3):
        log.metrics({"loss": math.inf if step == 1 else 0.0}, step)
        log.tags({"a": str(step), f"b{step}": "x"})
    log.end("FINISHED", None)
    Forwarder(tmp_path, store).drain()
    assert _steps(store) == [0, 1, 2]
    marks = {"rnnexp.nonfinite.loss": "inf at step 1"}
    assert store.tags == {"a": "2", "b0": "x", "b1": "x", "b2": "x"} | marks
    assert store.calls == len(["open_run", "log_metrics", "set_tags", "end_run"])


def test_norms_over_time_stay_in_the_journal(tmp_path: Path) -> None:
    log, store = RunLog(tmp_path, HEADER, "sqlite:///x.db", None), MemoryStore()
    forwarder = Forwarder(tmp_path, store)
    log.flush()
    forwarder.drain()
    before = store.calls
    log.profile({"layer0": [0.5] * 100}, 1)
    log.flush()
    assert forwarder.has_more
    assert forwarder.advance(), "or it would not be known as read"
    assert not forwarder.has_more
    assert store.calls == before
    log.end("FINISHED")


def test_first_value_that_is_not_finite_is_tagged(tmp_path: Path) -> None:
    log = RunLog(tmp_path, HEADER, "sqlite:///x.db", None)
    for step, value in enumerate([1.0, math.inf, math.nan, -math.inf]):
        log.metrics({"grad/raw_norm": value, "fine": 1.0}, step)
    log.end("FINISHED")
    store = MemoryStore()
    Forwarder(tmp_path, store).drain()
    assert store.tags == {"rnnexp.nonfinite.grad.raw_norm": "inf at step 1"}


def test_killed_owner_is_marked_once(tmp_path: Path) -> None:
    _record(tmp_path, 3, end=None)
    store = MemoryStore()
    forwarder = Forwarder(tmp_path, store)
    forwarder.abandon(1)  # nothing known of it yet: nothing to mark
    forwarder.drain()
    assert not delivered(tmp_path)
    forwarder.abandon(1)
    Forwarder(tmp_path, store).abandon(2)
    assert store.ended == ["FAILED"]
    assert store.tags == {"rnnexp.error": KILLED}
    assert delivered(tmp_path)


def test_ended_run_is_not_marked(tmp_path: Path) -> None:
    _record(tmp_path, 3)
    store = MemoryStore()
    forwarder = Forwarder(tmp_path, store)
    forwarder.drain()
    forwarder.abandon(1)
    assert store.ended == ["FINISHED"]


def test_other_store_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    _record(tmp_path, 5)
    first, second = MemoryStore(), MemoryStore()
    Forwarder(tmp_path, first).drain()
    Forwarder(tmp_path, second, "other.json").drain()
    assert _steps(first) == _steps(second) == list(range(5))


def test_json_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) == {}
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
