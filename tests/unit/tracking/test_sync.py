"""What a run left behind: read back, delivered to its store, or to another."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from rnnexp.errors import StoreError
from rnnexp.files import RUN
from rnnexp.tracking import RunLog, check_store, delivered, load_run, sync
from rnnexp.tracking.files import read_json
from rnnexp.tracking.forward import Forwarder, Store
from rnnexp.tracking.records import ERROR_TAG

from .study import EXPERIMENT, header_of, record_run, runs_in, start_of, steps_in


def test_deleted_experiment_is_said(tmp_path: Path, store_uri: str, store, client) -> None:
    store.open_run(start_of("k", header_of()))
    client.delete_experiment(client.get_experiment_by_name(EXPERIMENT).experiment_id)
    record_run(tmp_path, store_uri).end("FINISHED")
    with pytest.raises(StoreError, match=r"'study' is deleted.*Nothing is lost; try again later"):
        sync(tmp_path)
    check_store(store_uri, "another")
    with pytest.raises(StoreError, match=r"'study' is deleted. Restore it, or use another"):
        check_store(store_uri, EXPERIMENT)


def test_who_waits_for_a_run_that_is_refused_need_not(
    tmp_path: Path, store_uri: str, store, client
) -> None:
    store.open_run(start_of("k", header_of()))
    number = client.get_experiment_by_name(EXPERIMENT).experiment_id
    client.delete_experiment(number)
    log = record_run(tmp_path, store_uri)
    log.end("FINISHED")
    with pytest.raises(MlflowException, match="is deleted"):
        Forwarder(tmp_path, store).advance()
    begun = time.monotonic()
    assert log.run_id(timeout=60) is None
    assert time.monotonic() - begun < 10
    client.restore_experiment(number)
    assert sync(tmp_path) == "delivered"
    assert log.run_id(timeout=60) == read_json(tmp_path / RUN)["run_id"]


def test_sync_delivers_what_was_left_behind(tmp_path: Path, store_uri: str, client) -> None:
    record_run(tmp_path, store_uri).end("FINISHED")
    assert sync(tmp_path) == "delivered"
    assert sync(tmp_path) == "complete already"
    (run,) = runs_in(client)
    assert steps_in(client, run.info.run_id) == list(range(5))
    assert delivered(tmp_path)


def _empty(store_file: Path) -> None:
    """Leave a store as one that was deleted and made again."""
    with sqlite3.connect(store_file) as connection:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()


def finished(folder: Path, store_uri: str, store: Store, part: str) -> None:
    """Record a run, of which the store gets the whole, a part or nothing."""
    log = record_run(folder, store_uri)
    if part == "part":
        log._journal.flush()
        Forwarder(folder, store).drain()
    log.end("FINISHED")
    if part == "whole":
        sync(folder)


@pytest.mark.parametrize("part", ["whole", "part"])
def test_run_that_the_store_has_lost_is_delivered_again(
    tmp_path: Path, store_uri: str, store, client, part: str
) -> None:
    finished(tmp_path / "run", store_uri, store, part)
    lost = read_json(tmp_path / "run" / RUN)["run_id"]
    _empty(tmp_path / "mlflow.db")
    assert sync(tmp_path / "run") == "delivered again, for the store no longer had it"
    assert sync(tmp_path / "run") == "complete already"
    (run,) = runs_in(client)
    assert run.info.run_id == read_json(tmp_path / "run" / RUN)["run_id"] != lost
    assert steps_in(client, run.info.run_id) == list(range(5))


def test_run_deleted_in_the_store_stays_deleted(tmp_path: Path, store_uri: str, client) -> None:
    record_run(tmp_path, store_uri).end("FINISHED")
    sync(tmp_path)
    client.delete_run(read_json(tmp_path / RUN)["run_id"])
    assert sync(tmp_path) == "complete already"
    assert runs_in(client) == []


def test_what_goes_on_with_a_lost_run_is_a_run_of_its_own(
    tmp_path: Path, store_uri: str, client
) -> None:
    header = header_of(run_id="0" * 32)
    record_run(tmp_path, store_uri, header=header).end("FINISHED")
    assert sync(tmp_path) == "delivered"
    (run,) = runs_in(client)
    assert steps_in(client, run.info.run_id) == list(range(5))


def _kill_writer(log: RunLog, tail: str) -> None:
    """Leave the journal as a killed owner would."""
    log._journal.close()
    with (log.folder / "journal.jsonl").open("a") as file:
        file.write(tail)


def test_sync_of_a_killed_run_marks_it_failed(tmp_path: Path, store_uri: str, client) -> None:
    _kill_writer(record_run(tmp_path, store_uri), '{"kind": "metr')
    assert sync(tmp_path) == "delivered"
    (run,) = runs_in(client)
    assert run.info.status == "FAILED"
    assert run.data.tags[ERROR_TAG] == "the process was killed"
    assert delivered(tmp_path)


def test_sync_leaves_a_living_run_alone(tmp_path: Path, store_uri: str, client) -> None:
    log = record_run(tmp_path, store_uri)
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
    finished(tmp_path / "run", store_uri, store, first)
    other = f"sqlite:///{tmp_path}/other.db"
    (tmp_path / "other.db").write_bytes((tmp_path / "mlflow.db").read_bytes())
    _empty(tmp_path / "other.db")
    assert sync(tmp_path / "run", other) == "delivered"
    assert sync(tmp_path / "run", other) == "complete already"
    (run,) = runs_in(MlflowClient(other))
    assert steps_in(MlflowClient(other), run.info.run_id) == list(range(5))
    assert run.info.status == "FINISHED"


def test_folder_without_journal_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is no run: it has no journal\.jsonl"):
        load_run(tmp_path)


def test_journal_is_read_back(tmp_path: Path, store_uri: str) -> None:
    log = record_run(tmp_path, store_uri, 3)
    log.tags({"host": "other"})
    log.end("FAILED", "why")
    run = load_run(tmp_path)
    assert (run.name, run.params, run.tags) == ("a-run", {"lr": "0.1"}, {"host": "other"})
    assert run.metrics["norm"] == [(0, 2.0), (1, 2.0), (2, 2.0)]
    assert (run.status, run.reason, run.run_id) == ("FAILED", "why", None)


def test_second_run_in_a_folder_is_a_run_of_its_own(tmp_path: Path, store_uri: str, client) -> None:
    record_run(tmp_path, store_uri, 3).end("FAILED", "why")
    sync(tmp_path)
    log = record_run(tmp_path, store_uri, 2)
    log._journal.flush()
    assert log.run_id(timeout=0.1) is None  # not the id of the run before
    run = load_run(tmp_path)
    assert (run.status, [step for step, _ in run.metrics["norm"]]) == (None, [0, 1])
    log.end("FINISHED")
    sync(tmp_path)
    assert len(runs_in(client)) == 2
    assert sorted(run.info.status for run in runs_in(client)) == ["FAILED", "FINISHED"]
    assert log.run_id(timeout=0.1) == read_json(tmp_path / RUN)["run_id"]


def test_profiles_of_the_run_before_in_a_folder_are_not_those_of_the_next(
    tmp_path: Path, store_uri: str
) -> None:
    for norms in ([1.0] * 60, [2.0] * 20):
        log = record_run(tmp_path, store_uri, 1)
        log.profile({"layer0": norms}, 1)
        log.end("FINISHED")
    ((step, norms_T),) = load_run(tmp_path).profiles["layer0"]
    assert (step, norms_T.tolist()) == (1, [2.0] * 20)


def test_a_run_that_has_gone_on_elsewhere_goes_on_there_as_the_same(
    tmp_path: Path, store_uri: str, client
) -> None:
    record_run(tmp_path / "first", store_uri, steps=2).end("KILLED")
    sync(tmp_path / "first")
    known = load_run(tmp_path / "first").run_id
    record_run(tmp_path / "then", store_uri, steps=3, header=header_of(known)).end("KILLED")
    sync(tmp_path / "then")
    (tmp_path / "then" / RUN).write_text("damaged")
    again = replace(header_of(), continues=True)
    record_run(tmp_path / "then", store_uri, header=again).end("FINISHED")
    sync(tmp_path / "then")
    (run,) = runs_in(client)
    assert (run.info.run_id, run.info.status) == (known, "FINISHED")
