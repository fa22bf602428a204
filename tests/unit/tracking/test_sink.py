"""A sink with several runs: what is wrong with one of them concerns no other."""

import errno
import json
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import requests

from rnnexp.tracking import RunLog, delivery, sink
from rnnexp.tracking.forward import KILLED, REMOVED, Point
from rnnexp.tracking.records import ERROR_TAG, RunHeader, Status
from rnnexp.tracking.service import delivered

from ...waiting import comes_true


class Shelf:
    """Keep runs by name; those that are named here are refused."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.points: dict[str, int] = {}
        self.status: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.tried: list[str] = []

    keeps_once = False

    def open_run(self, start) -> str:
        self.tags[start["name"]] = {}
        return start["name"]

    def experiment_of(self, run_id: str) -> str:
        return "1"

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        self.tried.append(run_id)
        if run_id in self.refused:
            raise RuntimeError(f"The run {run_id} must be in the 'active' state.")
        self.points[run_id] = self.points.get(run_id, 0) + len(points)

    def steps_of(self, run_id: str, key: str) -> set[tuple[int, int]]:
        return set()

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self.tags[run_id] |= tags

    def delete_tag(self, run_id: str, key: str) -> None:
        self.tags[run_id].pop(key, None)

    def log_artifact(self, run_id: str, path: Path, folder: str) -> None:
        if path.name in self.refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def end_run(self, run_id: str, status: str, time: int) -> None:
        self.status[run_id] = status

    def close(self) -> None: ...


class Owner:
    """Tell a sink what to deliver, and go."""

    def __init__(self, store: Shelf) -> None:
        self.gone = threading.Event()
        self.talking: threading.Thread | None = None
        self.sink = sink.Sink("shelf")
        self.sink._store = store

    def tell(self, folders: Iterable[Path]) -> None:
        lines = [json.dumps({"folder": str(folder)}) for folder in folders]

        def talk() -> Iterable[str]:
            yield from lines
            self.gone.wait()

        self.talking = threading.Thread(target=lambda: self.sink.listen(iter(talk())))
        self.talking.start()

    def go(self) -> None:
        """End without the turns in which the sink delivers the rest."""
        self.gone.set()
        assert self.talking is not None
        self.talking.join(10)
        for left in self.sink._deliveries:
            left.close()

    def leave(self) -> int:
        self.gone.set()
        return self.sink.run()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sink, delivery):
        monkeypatch.setattr(module, "GIVE_UP_SECONDS", 0.6)
    for name in ("FIRST_PAUSE", "LAST_PAUSE", "DYING_SECONDS", "BATCH_SECONDS"):
        monkeypatch.setattr(delivery, name, 0.1)
    monkeypatch.setattr(sink, "POLL_SECONDS", 0.01)


def begin(folder: Path) -> RunLog:
    log = RunLog(folder, RunHeader(folder.name, "study", {}, {}), "shelf", None)
    log.metrics({"loss": 1.0}, 0)
    log.flush()
    return log


def finished(folder: Path) -> Path:
    begin(folder).end("FINISHED")
    return folder


def test_a_run_that_is_refused_holds_up_no_other(tmp_path: Path) -> None:
    store = Shelf("b")
    owner = Owner(store)
    owner.tell([finished(tmp_path / name) for name in "abc"])
    assert owner.leave() == 1, "one is not delivered"
    assert store.status == {"a": "FINISHED", "c": "FINISHED"}
    assert not delivered(tmp_path / "b")
    assert store.tried.count("b") > 1, "it was tried again"


def test_a_run_that_is_refused_for_good_is_left_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DeletedError(Exception):
        error_code = "INVALID_STATE"

    def refuse(start: object) -> str:
        raise DeletedError

    for module in (sink, delivery):
        monkeypatch.setattr(module, "GIVE_UP_SECONDS", 5.0)
    store = Shelf()
    monkeypatch.setattr(store, "open_run", refuse)
    owner = Owner(store)
    owner.tell([finished(tmp_path / "a")])
    owner.gone.set()
    begun = time.monotonic()
    assert owner.sink.run() == 1
    assert time.monotonic() - begun < 2.5


@pytest.mark.parametrize("status", ["FINISHED", None])
def test_a_file_that_cannot_be_copied_leaves_no_run_running(
    tmp_path: Path, status: Status | None, capfd: pytest.CaptureFixture[str]
) -> None:
    store, log = Shelf("config.yaml"), begin(tmp_path / "a")
    (tmp_path / "a" / "config.yaml").touch()
    log.artifact(tmp_path / "a" / "config.yaml")
    if status:
        log.end(status)
    else:
        log._journal.close()
    owner = Owner(store)
    owner.tell([tmp_path / "a"])
    assert owner.leave() == 1, "a file is left"
    assert store.status == {"a": status or "FAILED"}
    assert not delivered(tmp_path / "a")
    assert "PermissionError: [Errno 13] Permission denied" in capfd.readouterr().err


def test_others_go_on_while_one_is_refused(tmp_path: Path) -> None:
    store = Shelf("b")
    owner = Owner(store)
    logs = [begin(tmp_path / name) for name in "abc"]
    owner.tell([log.folder for log in logs])
    turning = threading.Thread(target=owner.sink.run, daemon=True)
    turning.start()
    for step in range(1, 5):
        time.sleep(0.2)
        logs[2].metrics({"loss": 1.0}, step)
        logs[2].flush()
    for log in logs:
        log.end("FINISHED")
    owner.gone.set()
    turning.join(10)
    assert not turning.is_alive()
    assert store.points == {"a": 1, "c": 5}


def test_a_run_whose_folder_is_removed_has_failed(tmp_path: Path) -> None:
    store = Shelf()
    owner = Owner(store)
    log = begin(tmp_path / "a")
    owner.tell([log.folder])
    turning = threading.Thread(target=owner.sink.run, daemon=True)
    turning.start()
    assert comes_true(lambda: store.points == {"a": 1})
    shutil.rmtree(log.folder)
    log.end("FINISHED")
    assert comes_true(lambda: store.status == {"a": "FAILED"})
    assert store.tags["a"][ERROR_TAG] == REMOVED
    store.status.clear()
    finished(tmp_path / "a")  # another of that name
    owner.gone.set()
    turning.join(10)
    assert not turning.is_alive()
    assert store.status == {"a": "FINISHED"}
    assert store.points == {"a": 2}


def test_a_run_without_a_journal_holds_up_no_other(tmp_path: Path, capsys) -> None:
    store = Shelf()
    owner = Owner(store)
    owner.tell([tmp_path / "never begun", finished(tmp_path / "a")])
    assert owner.leave() == 0
    assert store.status == {"a": "FINISHED"}
    assert "never begun" in capsys.readouterr().err


def test_a_store_that_is_slow_to_fail_is_asked_for_one_run_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "SLOW_SECONDS", 0.0)
    store = Shelf("a", "b")
    owner = Owner(store)
    owner.tell([finished(tmp_path / name) for name in "ab"])
    while len(owner.sink._waiting) + len(owner.sink._deliveries) < 2:
        owner.sink._adopt()
    assert not owner.sink._turn(owner_gone=False)
    assert store.tried == ["a"]
    assert not owner.sink._turn(owner_gone=False)
    assert store.tried == ["a", "b"]
    owner.go()


class Away(Shelf):
    """A server that does not answer until it is there."""

    there = False

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        if not self.there:
            self.tried.append(run_id)
            raise requests.ConnectionError("refused")
        super().log_metrics(run_id, points)


def test_a_server_that_is_away_is_asked_for_one_run_at_a_time_with_pauses(tmp_path: Path) -> None:
    store = Away()
    owner = Owner(store)
    owner.tell([finished(tmp_path / name) for name in "abc"])
    while len(owner.sink._waiting) + len(owner.sink._deliveries) < 3:
        owner.sink._adopt()
    for _ in range(3):
        owner.sink._turn(owner_gone=False)
    assert store.tried == ["a"], "the others wait for the same pause"
    time.sleep(0.15)
    owner.sink._turn(owner_gone=False)
    assert store.tried == ["a", "b"]
    store.there = True
    assert owner.leave() == 0
    assert store.status == dict.fromkeys("abc", "FINISHED")


def test_a_sink_gives_up_a_server_that_stays_away(tmp_path: Path) -> None:
    owner = Owner(Away())
    owner.tell([finished(tmp_path / name) for name in "abc"])
    begun = time.monotonic()
    assert owner.leave() == 1
    assert time.monotonic() - begun < 5


def test_a_run_that_is_written_on_is_not_marked_as_dead(tmp_path: Path) -> None:
    store = Shelf()
    owner = Owner(store)
    log = begin(tmp_path / "a")  # by a job elsewhere, say
    owner.tell([log.folder])
    assert owner.leave() == 0
    assert store.points == {"a": 1}
    assert store.status == {}
    log.end("FINISHED")


def test_a_run_that_nobody_writes_is_marked_and_heals(tmp_path: Path) -> None:
    store = Shelf()
    first = Owner(store)
    log = begin(tmp_path / "a")
    log._journal.close()  # as its death would
    first.tell([log.folder])
    assert first.leave() == 0
    assert store.status == {"a": "FAILED"}
    assert store.tags["a"] == {ERROR_TAG: KILLED}
    with (log.folder / "journal.jsonl").open("a") as journal:  # it was alive on another machine
        journal.write(json.dumps({"kind": "end", "status": "FINISHED", "reason": None, "time": 1}))
        journal.write("\n")
    second = Owner(store)
    second.tell([log.folder])
    assert second.leave() == 0
    assert store.status == {"a": "FINISHED"}
    assert store.tags["a"] == {}
