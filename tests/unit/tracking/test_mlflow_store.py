"""A real sqlite store of MLflow's."""

import io
import logging
import math
import os
import sqlite3
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from rnnexp.errors import StoreError
from rnnexp.files import CURSOR, RUN
from rnnexp.tracking import RunHeader, RunLog, check_store, find_run
from rnnexp.tracking.files import read_json
from rnnexp.tracking.forward import Forwarder
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.records import ERROR_TAG

from .study import EXPERIMENT, header_of, record_run, runs_in, start_of, steps_in


def test_whole_run_is_stored(tmp_path: Path, store_uri: str, store, client) -> None:
    log = record_run(tmp_path / "run", store_uri)
    log.tags({"note": "x"})
    (tmp_path / "run" / "a.txt").write_text("hello")
    log.artifact(tmp_path / "run" / "a.txt", "texts")
    log.end("FINISHED")
    Forwarder(tmp_path / "run", store).drain()
    (run,) = runs_in(client)
    assert (run.info.run_name, run.info.status) == ("a-run", "FINISHED")
    assert run.data.params == {"lr": "0.1"}
    assert {"host": "h", "note": "x"}.items() <= run.data.tags.items()
    assert steps_in(client, run.info.run_id) == list(range(5))
    artifacts = client.list_artifacts(run.info.run_id, "texts")
    assert [a.path for a in artifacts] == ["texts/a.txt"]
    assert read_json(tmp_path / "run" / RUN)["run_id"] == run.info.run_id
    assert find_run(run.info.run_id, tmp_path) == tmp_path / "run"
    assert find_run("unknown", tmp_path) is None


def test_who_asks_a_server_waits_less_than_mlflow_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")  # put back as it was after the test
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    MlflowStore("http://127.0.0.1:9")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7", "the user's own counts"


def test_lost_reply_of_create_makes_one_run(store: MlflowStore, client) -> None:
    first = store.open_run(start_of("key1", header_of()))
    assert store.open_run(start_of("key1", header_of())) == first
    assert store.open_run(start_of("key2", header_of())) != first
    assert len(runs_in(client)) == 2


def test_create_sent_twice_leaves_one_run(store: MlflowStore, client, monkeypatch) -> None:
    create = store._client.create_run

    def twice(*args, **kwargs):
        create(*args, **kwargs)
        return create(*args, **kwargs)

    monkeypatch.setattr(store._client, "create_run", twice)
    monkeypatch.setattr(store, "_is_file", False)  # as for a server, whose reply can be lost
    run_id = store.open_run(start_of("key1", header_of()))
    assert [run.info.run_id for run in runs_in(client)] == [run_id]


def test_crash_between_store_and_cursor_stores_each_point_once(
    tmp_path: Path, store_uri: str, store, client
) -> None:
    log = record_run(tmp_path, store_uri, 10)
    log._journal.flush()
    Forwarder(tmp_path, store).drain()
    old = (tmp_path / CURSOR).read_bytes()
    for step in range(10, 20):
        log.metrics({"train/loss": math.nan if step == 15 else 1.0}, step)
    log.end("FINISHED")
    Forwarder(tmp_path, store).drain()
    (tmp_path / CURSOR).write_bytes(old)
    Forwarder(tmp_path, MlflowStore(store_uri)).drain()
    (run,) = runs_in(client)
    assert steps_in(client, run.info.run_id) == list(range(20))


def test_values_that_are_not_finite_are_tagged(
    tmp_path: Path, store_uri: str, store, client
) -> None:
    log = record_run(tmp_path, store_uri, 0)
    log.metrics({"train/loss": math.inf, "val/loss": math.nan}, 7)
    log.end("FAILED", "not finite")
    Forwarder(tmp_path, store).drain()
    (run,) = runs_in(client)
    tags = run.data.tags
    assert tags["rnnexp.nonfinite.train.loss"] == "inf at step 7"
    assert tags["rnnexp.nonfinite.val.loss"] == "nan at step 7"
    assert (tags[ERROR_TAG], run.info.status) == ("not finite", "FAILED")


def test_names_that_mlflow_refuses_do_not_hold_up_the_run(
    tmp_path: Path, store_uri: str, store, client
) -> None:
    log = record_run(tmp_path, store_uri, 1, header_of(**{"task.sizes.a(b)": "1"}))
    for _ in range(2):
        log.metrics({"test/top@5": 0.5, "../up": 1.0, "a//b": 2.0, "x" * 300: 3.0, "ok": 4.0}, 1)
    log.tags({"note!": "y"})
    log.end("FINISHED")
    Forwarder(tmp_path, store).drain()
    (tmp_path / CURSOR).unlink()
    Forwarder(tmp_path, store).drain()
    (run,) = runs_in(client)
    assert {"test/top_5", "up", "a/b", "x" * 250, "ok"} <= run.data.metrics.keys()
    assert run.data.params["task.sizes.a_b_"] == "1"
    assert run.data.tags["note_"] == "y"
    assert run.info.status == "FINISHED"


def test_resumed_run_goes_on(tmp_path: Path, store_uri: str, store, client) -> None:
    record_run(tmp_path / "one", store_uri).end("FAILED", "why")
    Forwarder(tmp_path / "one", store).drain()
    (run,) = runs_in(client)
    header = header_of(run.info.run_id, lr="0.2", new="1")
    log = RunLog(tmp_path / "two", header, store_uri, None)
    log.metrics({"train/loss": 0.1}, 5)
    log._journal.flush()
    Forwarder(tmp_path / "two", store).drain()
    (again,) = runs_in(client)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "RUNNING")
    assert again.data.params == {"lr": "0.1", "new": "1"}
    assert again.data.tags["rnnexp.resumed.lr"] == "0.2"
    assert ERROR_TAG not in again.data.tags
    log.end("FINISHED")
    Forwarder(tmp_path / "two", store).drain()
    assert steps_in(client, run.info.run_id) == list(range(6))
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    assert find_run(run.info.run_id, tmp_path) == tmp_path / "two"


def test_many_and_long_parameters_and_tags_fit(store: MlflowStore, client) -> None:
    params = {f"p{i}": "v" for i in range(250)} | {"long": "x" * 7000}
    run_id = store.open_run(start_of("k", RunHeader("n", EXPERIMENT, params, {"t": "y" * 9000})))
    store.set_tags(run_id, {f"t{i}": "v" for i in range(250)})
    data = client.get_run(run_id).data
    assert len(data.params) == 251
    assert (len(data.params["long"]), data.params["long"][-4:]) == (6000, "x...")
    assert len(data.tags["t"]) == 5000
    assert data.tags["t249"] == "v"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("file:///runs", "not a store MLflow can write to. Use sqlite:///FILE or the http"),
        ("", "not a store"),
        ("sqlite:///no/such/folder/x.db", "the folder no/such/folder does not exist. Create it."),
        ("sqlite:///.", "cannot be written"),
    ],
)
def test_unusable_store_is_refused_in_words(workdir: Path, uri: str, words: str) -> None:
    with pytest.raises(StoreError, match=rf"^tracking\.uri={uri}: ") as caught:
        check_store(uri)
    assert words in str(caught.value)


@pytest.mark.parametrize("uri", ["sqlite:///new.db", "http://127.0.0.1:1", "postgresql://h/d"])
def test_usable_store_passes(workdir: Path, uri: str) -> None:
    check_store(uri)


def test_a_place_of_artifacts_that_cannot_be_written_is_refused(
    workdir: Path, store_uri: str, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workdir / "outputs" / "mlflow"
    check_store(store_uri, "new", root)
    with monkeypatch.context() as foreign:  # root may write everywhere
        foreign.setattr("os.access", lambda path, _: path.is_file())
        with pytest.raises(StoreError, match=rf"go to {root}, and {workdir} is no folder that"):
            check_store(store_uri, "new", root)
    root.parent.mkdir()
    root.touch()
    store.open_run({**start_of("k", header_of()), "artifacts": (workdir / "a").as_uri()})
    check_store(store_uri, EXPERIMENT, root)
    with pytest.raises(StoreError, match=f"{root} is no folder"):
        check_store(store_uri, "new", root)


OPEN = """
import sys
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.records import RunHeader, start_record

store = MlflowStore("sqlite:///fresh.db")
header = RunHeader("n", "study", {"p": "1"}, {})
run_id = store.open_run(start_record(header, sys.argv[1], "uri", None, 1))
store.log_metrics(run_id, [("loss", 1.0, 5, step) for step in range(50)])
store.end_run(run_id, "FINISHED", 9)
"""


def test_fresh_store_is_opened_by_four_processes_at_once(start_copy, tmp_path: Path) -> None:
    started = [start_copy("-c", OPEN, f"key{i}", cwd=tmp_path) for i in range(4)]
    codes = [process.wait(60) for process in started]
    assert codes == [0] * 4, (tmp_path / "stderr.txt").read_text()
    connection = sqlite3.connect(tmp_path / "fresh.db")
    ask = connection.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ask("PRAGMA integrity_check").fetchone() == ("ok",)
    assert ask("SELECT count(*) FROM runs").fetchone() == (4,)
    assert ask("SELECT count(*) FROM metrics").fetchone() == (200,)
    assert ask("SELECT count(*) FROM experiments WHERE name = 'study'").fetchone() == (1,)
    connection.close()


def test_what_the_client_raises_it_does_not_print(tmp_path: Path, store) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as file:
        file.execute("DROP TABLE experiments")
    file.close()
    logger, printed = logging.getLogger("mlflow.store.db.utils"), io.StringIO()
    handler = logging.StreamHandler(printed)
    logger.addHandler(handler)
    try:
        with pytest.raises(MlflowException, match="no such table: experiments"):
            store.open_run(start_of("k", header_of()))
    finally:
        logger.removeHandler(handler)
    assert printed.getvalue() == ""
