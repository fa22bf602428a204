"""A real sqlite store of MLflow's."""

import math
import sqlite3
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.errors import StoreError
from rnnexp.tracking import RunHeader, RunLog, check_store, delivered, find_run, load_run, sync
from rnnexp.tracking.files import CURSOR, RUN, read_json
from rnnexp.tracking.forward import Forwarder
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.records import ERROR_TAG, start_record

EXPERIMENT = "study"


def _header(run_id: str | None = None, parent: str | None = None, **params: str) -> RunHeader:
    return RunHeader("a-run", EXPERIMENT, {"lr": "0.1", **params}, {"host": "h"}, parent, run_id)


def _start(key: str, header: RunHeader) -> dict:
    return start_record(header, key, "uri", None, 1000)


@pytest.fixture
def store(store_uri: str) -> MlflowStore:
    return MlflowStore(store_uri)


@pytest.fixture
def client(store_uri: str) -> MlflowClient:
    return MlflowClient(store_uri)


def _runs(client: MlflowClient) -> list:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return client.search_runs([experiment.experiment_id])


def _record(folder: Path, uri: str, steps: int = 5, header: RunHeader | None = None) -> RunLog:
    log = RunLog(folder, header or _header(), uri, None)
    for step in range(steps):
        log.metrics({"train/loss": 1 / (step + 1), "norm": 2.0}, step)
    return log


def _history(client: MlflowClient, run_id: str, key: str = "train/loss") -> list[int]:
    return [m.step for m in client.get_metric_history(run_id, key)]


def test_whole_run_is_stored(tmp_path: Path, store_uri: str, store, client) -> None:
    log = _record(tmp_path / "run", store_uri)
    log.tags({"note": "x"})
    (tmp_path / "a.txt").write_text("hello")
    log.artifact(tmp_path / "a.txt", "texts")
    log.end("FINISHED")
    Forwarder(tmp_path / "run", store).drain()
    (run,) = _runs(client)
    assert (run.info.run_name, run.info.status) == ("a-run", "FINISHED")
    assert run.data.params == {"lr": "0.1"}
    assert {"host": "h", "note": "x"}.items() <= run.data.tags.items()
    assert _history(client, run.info.run_id) == list(range(5))
    artifacts = client.list_artifacts(run.info.run_id, "texts")
    assert [a.path for a in artifacts] == ["texts/a.txt"]
    assert read_json(tmp_path / "run" / RUN)["run_id"] == run.info.run_id
    assert find_run(run.info.run_id, tmp_path) == tmp_path / "run"
    assert find_run("unknown", tmp_path) is None


def test_lost_reply_of_create_makes_one_run(store: MlflowStore, client) -> None:
    first = store.open_run(_start("key1", _header()))
    assert store.open_run(_start("key1", _header())) == first
    assert store.open_run(_start("key2", _header())) != first
    assert len(_runs(client)) == 2


def test_create_sent_twice_leaves_one_run(store: MlflowStore, client, monkeypatch) -> None:
    create = store._client.create_run

    def twice(*args, **kwargs):
        create(*args, **kwargs)
        return create(*args, **kwargs)

    monkeypatch.setattr(store._client, "create_run", twice)
    run_id = store.open_run(_start("key1", _header()))
    assert [run.info.run_id for run in _runs(client)] == [run_id]


def test_crash_between_store_and_cursor_stores_each_point_once(
    tmp_path: Path, store_uri: str, store, client
) -> None:
    log = _record(tmp_path, store_uri, 10)
    log._journal.flush()
    Forwarder(tmp_path, store).drain()
    old = (tmp_path / CURSOR).read_bytes()
    for step in range(10, 20):
        log.metrics({"train/loss": math.nan if step == 15 else 1.0}, step)
    log.end("FINISHED")
    Forwarder(tmp_path, store).drain()
    (tmp_path / CURSOR).write_bytes(old)
    Forwarder(tmp_path, MlflowStore(store_uri)).drain()
    (run,) = _runs(client)
    assert _history(client, run.info.run_id) == list(range(20))


def test_values_that_are_not_finite_are_tagged(
    tmp_path: Path, store_uri: str, store, client
) -> None:
    log = _record(tmp_path, store_uri, 0)
    log.metrics({"train/loss": math.inf, "val/loss": math.nan}, 7)
    log.end("FAILED", "not finite")
    Forwarder(tmp_path, store).drain()
    (run,) = _runs(client)
    tags = run.data.tags
    assert tags["rnnexp.nonfinite.train.loss"] == "inf at step 7"
    assert tags["rnnexp.nonfinite.val.loss"] == "nan at step 7"
    assert (tags[ERROR_TAG], run.info.status) == ("not finite", "FAILED")


def test_names_that_mlflow_refuses_do_not_hold_up_the_run(
    tmp_path: Path, store_uri: str, store, client
) -> None:
    log = _record(tmp_path, store_uri, 1, _header(**{"task.sizes.a(b)": "1"}))
    for _ in range(2):
        log.metrics({"test/top@5": 0.5, "../up": 1.0, "a//b": 2.0, "x" * 300: 3.0, "ok": 4.0}, 1)
    log.tags({"note!": "y"})
    log.end("FINISHED")
    Forwarder(tmp_path, store).drain()
    (tmp_path / CURSOR).unlink()
    Forwarder(tmp_path, store).drain()
    (run,) = _runs(client)
    assert {"test/top_5", "up", "a/b", "x" * 250, "ok"} <= run.data.metrics.keys()
    assert run.data.params["task.sizes.a_b_"] == "1"
    assert run.data.tags["note_"] == "y"
    assert run.info.status == "FINISHED"


def test_resumed_run_goes_on(tmp_path: Path, store_uri: str, store, client) -> None:
    _record(tmp_path / "one", store_uri).end("FAILED", "why")
    Forwarder(tmp_path / "one", store).drain()
    (run,) = _runs(client)
    header = _header(run.info.run_id, lr="0.2", new="1")
    log = RunLog(tmp_path / "two", header, store_uri, None)
    log.metrics({"train/loss": 0.1}, 5)
    log._journal.flush()
    Forwarder(tmp_path / "two", store).drain()
    (again,) = _runs(client)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "RUNNING")
    assert again.data.params == {"lr": "0.1", "new": "1"}
    assert again.data.tags["rnnexp.resumed.lr"] == "0.2"
    assert ERROR_TAG not in again.data.tags
    log.end("FINISHED")
    Forwarder(tmp_path / "two", store).drain()
    assert _history(client, run.info.run_id) == list(range(6))
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    assert find_run(run.info.run_id, tmp_path) == tmp_path / "two"


def test_child_of_a_sweep_names_its_parent(store: MlflowStore, client) -> None:
    child = store.open_run(_start("k", _header(parent="abc")))
    assert client.get_run(child).data.tags["mlflow.parentRunId"] == "abc"


def test_many_and_long_parameters_and_tags_fit(store: MlflowStore, client) -> None:
    params = {f"p{i}": "v" for i in range(250)} | {"long": "x" * 7000}
    run_id = store.open_run(_start("k", RunHeader("n", EXPERIMENT, params, {"t": "y" * 9000})))
    store.set_tags(run_id, {f"t{i}": "v" for i in range(250)})
    data = client.get_run(run_id).data
    assert len(data.params) == 251
    assert (len(data.params["long"]), data.params["long"][-4:]) == (6000, "x...")
    assert len(data.tags["t"]) == 5000
    assert data.tags["t249"] == "v"


def test_deleted_experiment_is_said(tmp_path: Path, store_uri: str, store, client) -> None:
    store.open_run(_start("k", _header()))
    client.delete_experiment(client.get_experiment_by_name(EXPERIMENT).experiment_id)
    _record(tmp_path, store_uri).end("FINISHED")
    with pytest.raises(StoreError, match=r"'study' is deleted.*Nothing is lost; try again later"):
        sync(tmp_path)


def test_sync_delivers_what_was_left_behind(tmp_path: Path, store_uri: str, client) -> None:
    _record(tmp_path, store_uri).end("FINISHED")
    assert sync(tmp_path) == "delivered"
    assert sync(tmp_path) == "complete already"
    (run,) = _runs(client)
    assert _history(client, run.info.run_id) == list(range(5))
    assert delivered(tmp_path)


def _kill_writer(log: RunLog, tail: str) -> None:
    """Leave the journal as a killed owner would."""
    log._journal.close()
    with (log.folder / "journal.jsonl").open("a") as file:
        file.write(tail)


def test_sync_of_a_killed_run_marks_it_failed(tmp_path: Path, store_uri: str, client) -> None:
    _kill_writer(_record(tmp_path, store_uri), '{"kind": "metr')
    assert sync(tmp_path) == "delivered"
    (run,) = _runs(client)
    assert run.info.status == "FAILED"
    assert run.data.tags[ERROR_TAG] == "the process was killed"
    assert delivered(tmp_path)


def test_sync_leaves_a_living_run_alone(tmp_path: Path, store_uri: str, client) -> None:
    log = _record(tmp_path, store_uri)
    log._journal.flush()
    assert sync(tmp_path) == "left alone, its process is still at work"
    assert client.get_experiment_by_name(EXPERIMENT) is None
    log.end("FINISHED")
    assert sync(tmp_path) == "delivered"


def test_sync_of_an_empty_journal_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").touch()
    assert sync(tmp_path) == "empty, nothing to deliver"


@pytest.mark.parametrize("first", ["whole", "part", "nothing"])
def test_sync_to_another_store_delivers_the_whole_run(
    tmp_path: Path, store_uri: str, store, first: str
) -> None:
    log = _record(tmp_path / "run", store_uri)
    if first == "part":
        log._journal.flush()
        Forwarder(tmp_path / "run", store).drain()
    log.end("FINISHED")
    if first == "whole":
        sync(tmp_path / "run")
    other = f"sqlite:///{tmp_path}/other.db"
    (tmp_path / "other.db").write_bytes((tmp_path / "mlflow.db").read_bytes())
    with sqlite3.connect(tmp_path / "other.db") as connection:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()
    assert sync(tmp_path / "run", other) == "delivered"
    assert sync(tmp_path / "run", other) == "complete already"
    (run,) = _runs(MlflowClient(other))
    assert _history(MlflowClient(other), run.info.run_id) == list(range(5))
    assert run.info.status == "FINISHED"


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


def test_folder_without_journal_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is no run: it has no journal\.jsonl"):
        load_run(tmp_path)


def test_journal_is_read_back(tmp_path: Path, store_uri: str) -> None:
    log = _record(tmp_path, store_uri, 3)
    log.tags({"host": "other"})
    log.end("FAILED", "why")
    run = load_run(tmp_path)
    assert (run.name, run.params, run.tags) == ("a-run", {"lr": "0.1"}, {"host": "other"})
    assert run.metrics["norm"] == [(0, 2.0), (1, 2.0), (2, 2.0)]
    assert (run.status, run.reason, run.run_id) == ("FAILED", "why", None)


def test_second_run_in_a_folder_is_a_run_of_its_own(tmp_path: Path, store_uri: str, client) -> None:
    _record(tmp_path, store_uri, 3).end("FAILED", "why")
    sync(tmp_path)
    log = _record(tmp_path, store_uri, 2)
    log._journal.flush()
    assert log.run_id(timeout=0.1) is None  # not the id of the run before
    run = load_run(tmp_path)
    assert (run.status, [step for step, _ in run.metrics["norm"]]) == (None, [0, 1])
    log.end("FINISHED")
    sync(tmp_path)
    assert len(_runs(client)) == 2
    assert sorted(run.info.status for run in _runs(client)) == ["FAILED", "FINISHED"]
    assert log.run_id(timeout=0.1) == read_json(tmp_path / RUN)["run_id"]


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


def test_fresh_store_is_opened_by_four_processes_at_once(start_python, tmp_path: Path) -> None:
    started = [start_python("-c", OPEN, f"key{i}", cwd=tmp_path) for i in range(4)]
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
