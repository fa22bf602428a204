"""Damaged cursors and journals: each point arrives once all the same, or the damage is said."""

import json
import math
from functools import partial
from pathlib import Path

import pytest

from rnnexp.errors import DamagedError
from rnnexp.files import CURSOR, JOURNAL
from rnnexp.tracking import RunLog, forward, sync
from rnnexp.tracking.files import read_json, write_json
from rnnexp.tracking.forward import Forwarder
from rnnexp.tracking.journal import read_from
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.service import delivered

from .study import header_of, record_run, runs_in, steps_in
from .test_forward import MemoryStore, _record, _steps

CURSORS = {
    "empty": b"",
    "random": b"\xff\x00\xfe",
    "null": b"null",
    "nothing in it": b"{}",
    "beyond the end": json.dumps({"offset": 10**6, "run_id": "run0", "ended": True}).encode(),
    "amid a record": json.dumps({"offset": 700, "run_id": "run0", "ended": True}).encode(),
}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "part"])
@pytest.mark.parametrize("how", CURSORS)
def test_with_a_damaged_cursor_the_store_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, whole: bool
) -> None:
    monkeypatch.setattr(forward, "read_from", partial(read_from, limit=500))
    _record(tmp_path, 50)
    store = MemoryStore()
    first = Forwarder(tmp_path, store)
    for _ in range(1000 if whole else 4):
        first.advance()
    (tmp_path / CURSOR).write_bytes(CURSORS[how])
    assert not delivered(tmp_path)
    Forwarder(tmp_path, store).drain()
    assert _steps(store) == list(range(50))
    assert delivered(tmp_path)


def test_without_a_cursor_a_store_is_asked_once_a_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "read_from", partial(read_from, limit=500))
    _record(tmp_path, 50, keys=("loss", "norm"))
    store = MemoryStore()
    Forwarder(tmp_path, store).drain()
    assert store.asked == []
    (tmp_path / CURSOR).unlink()
    again = Forwarder(tmp_path, store)
    again.drain()
    assert sorted(store.asked) == ["loss", "norm"]
    assert _steps(store) == _steps(store, "norm") == list(range(50))
    assert not again._stored, "what it has is not kept for longer than it is needed"


def test_a_store_in_a_file_is_not_asked_what_it_has(
    tmp_path: Path, store: MlflowStore, client, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(tmp_path, header_of(), "sqlite:///x.db", None)
    values = [0.1, math.nan, math.inf, -math.inf, 1e-320]
    for step, value in enumerate(values):
        log.metrics({"loss": value}, step)
    log.end("FINISHED")
    Forwarder(tmp_path, store).drain()
    (tmp_path / CURSOR).unlink()
    monkeypatch.setattr(store, "steps_of", lambda *_: pytest.fail("it was asked"))
    Forwarder(tmp_path, store).drain()
    (run,) = runs_in(client)
    assert steps_in(client, run.info.run_id, "loss") == list(range(len(values)))
    assert run.data.metrics["loss"] == values[-1]


def test_a_shorter_journal_that_was_put_back_is_delivered(
    tmp_path: Path, store_uri: str, client
) -> None:
    log = record_run(tmp_path, store_uri)
    log.flush()
    content = (tmp_path / JOURNAL).read_bytes()
    log.end("FINISHED")
    assert sync(tmp_path) == "delivered"
    (tmp_path / JOURNAL).write_bytes(content)
    assert sync(tmp_path) == "delivered"
    assert read_json(tmp_path / CURSOR)["offset"] == len(content)


def test_a_damaged_journal_is_named_and_not_its_store(
    tmp_path: Path, store_uri: str, store
) -> None:
    record_run(tmp_path, store_uri).end("FINISHED")
    start = (tmp_path / JOURNAL).read_bytes().index(b"\n") + 1
    with (tmp_path / JOURNAL).open("r+b") as file:
        file.seek(start)
        file.write(b"\x00garbage")
    with pytest.raises(
        DamagedError, match=rf"^\S*{JOURNAL} is damaged at byte {start}: .*truncate"
    ):
        sync(tmp_path)
    write_json(tmp_path / CURSOR, {"offset": start, "run_id": "x"})
    with pytest.raises(DamagedError):
        Forwarder(tmp_path, store).drain()
