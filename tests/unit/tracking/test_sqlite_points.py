"""Points written straight into a store file are those that MLflow's own client writes."""

import json
import math
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, PERMISSION_DENIED

from rnnexp.tracking import Comparison, RunHeader
from rnnexp.tracking.forward import Point
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.records import start_record
from rnnexp.tracking.sqlite_points import SqlitePoints, are_known, experiments_in, sweeps_in

NOTABLE = [0.0, -0.0, 1.5, -2.5, 1e300, math.nan, math.inf, -math.inf]


@pytest.fixture
def file(store_uri: str) -> Path:
    return Path(store_uri.removeprefix("sqlite:///"))


def new_run(store: MlflowStore, key: str, compared: Comparison | None = None) -> str:
    header = RunHeader("a-run", "study", {}, {}, compared=compared)
    return store.open_run(start_record(header, key, "uri", None, 1000))


def some_points(seed: int) -> list[Point]:
    # Few keys, times and steps: many points collide in part, some in whole.
    draw = random.Random(seed)
    return [
        (draw.choice("abc"), draw.choice(NOTABLE), draw.randrange(3), draw.randrange(4))
        for _ in range(60)
    ]


def rows_of(file: Path, table: str, run_id: str) -> list[tuple]:
    columns = "key, value, timestamp, step, is_nan"
    with closing(sqlite3.connect(file)) as connection:
        asked = f"SELECT {columns} FROM {table} WHERE run_uuid = ? ORDER BY {columns}"
        return connection.execute(asked, (run_id,)).fetchall()


@pytest.mark.parametrize("seed", range(4))
def test_the_tables_hold_what_the_client_writes(store, client, file: Path, seed: int) -> None:
    straight, through_client = new_run(store, "one"), new_run(store, "two")
    points = some_points(seed)
    written = SqlitePoints(file)
    for batch in (points[:25], points[20:]):  # a part of the first comes again with the second
        assert written.add(straight, batch)
        client.log_batch(through_client, metrics=[Metric(*point) for point in batch])
    for table in ("metrics", "latest_metrics"):
        assert rows_of(file, table, straight) == rows_of(file, table, through_client)
    assert len(rows_of(file, "metrics", straight)) > 30


def test_the_client_reads_them(store, client, file: Path) -> None:
    run_id = new_run(store, "one")
    assert SqlitePoints(file).add(run_id, [("loss", 2.0, 10, 1), ("loss", 1.0, 20, 2)])
    history = client.get_metric_history(run_id, "loss")
    assert [(m.value, m.timestamp, m.step) for m in history] == [(2.0, 10, 1), (1.0, 20, 2)]
    assert client.get_run(run_id).data.metrics == {"loss": 1.0}


def test_runs_are_found_by_a_tag_as_the_client_finds_them(store, client, file: Path) -> None:
    experiment = store.experiment_of(new_run(store, "other"))
    elsewhere = client.create_experiment("elsewhere")
    tags = {"rnnexp.key": "it's"}
    later = client.create_run(experiment, 20, tags=tags).info.run_id
    early = client.create_run(experiment, 10, tags=tags).info.run_id
    gone = client.create_run(experiment, 5, tags=tags).info.run_id
    client.delete_run(gone)
    client.create_run(elsewhere, 1, tags=tags)
    found = SqlitePoints(file).runs_with(experiment, "rnnexp.key", "it's")
    assert found == [early, later]
    query = 'tags.`rnnexp.key` = "it\'s"'
    theirs = client.search_runs([experiment], query, order_by=["start_time ASC"])
    assert found == [run.info.run_id for run in theirs]


@pytest.mark.parametrize("straight", [True, False])
def test_many_points_go_in_several_pieces(
    store, client, monkeypatch: pytest.MonkeyPatch, straight: bool
) -> None:
    run_id = new_run(store, "one")
    pieces: list[int] = []
    taker = store._points if straight else store._client
    take = taker.add if straight else taker.log_batch

    def counted(run_id: str, *given, **named):
        pieces.append(len(given[0] if straight else named["metrics"]))
        return take(run_id, *given, **named)

    monkeypatch.setattr(taker, "add" if straight else "log_batch", counted)
    if not straight:
        store._points = None
    store.log_metrics(run_id, [("loss", 0.5, step, step) for step in range(6500)])
    assert pieces == ([5000, 1500] if straight else [1000] * 6 + [500])
    assert len(client.get_metric_history(run_id, "loss")) == 6500


def test_a_deleted_run_is_refused_as_the_client_refuses_it(store, client, file: Path) -> None:
    run_id = new_run(store, "one")
    client.delete_run(run_id)
    assert not SqlitePoints(file).add(run_id, [("loss", 2.0, 10, 1)])
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        store.log_metrics(run_id, [("loss", 2.0, 10, 1)])
    assert rows_of(file, "metrics", run_id) == []


def test_nothing_of_a_batch_stays_where_a_part_of_it_fails(store, file: Path) -> None:
    run_id, written = new_run(store, "one"), SqlitePoints(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON metrics WHEN NEW.step = 2 "
            "BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="no room"):
        written.add(run_id, [("loss", 2.0, 10, 1), ("loss", 1.0, 20, 2)])
    assert rows_of(file, "metrics", run_id) == []
    assert written.add(run_id, [("loss", 2.0, 10, 1)])


def test_tables_of_another_form_are_left_to_the_client(store, store_uri, client, file) -> None:
    assert are_known(file)
    run_id = new_run(store, "one")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("ALTER TABLE metrics ADD COLUMN unit VARCHAR(10)")
    assert not are_known(file)
    MlflowStore(store_uri).log_metrics(run_id, [("loss", 2.0, 10, 1)])
    assert client.get_run(run_id).data.metrics == {"loss": 2.0}


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert not are_known(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_experiments_with_runs_are_listed(store, client, file: Path, tmp_path: Path) -> None:
    assert experiments_in(file) == {}
    other = client.create_experiment("of another program")
    client.create_run(other, start_time=1)
    new_run(store, "one")
    number = client.get_experiment_by_name("study").experiment_id
    assert experiments_in(file) == {"study": (number, True), "of another program": (other, False)}
    (tmp_path / "other.db").write_bytes(b"")
    assert experiments_in(tmp_path / "other.db") == {}


def test_an_experiment_of_before_gets_its_view(store, client, file: Path) -> None:
    number = client.create_experiment("study")
    new_run(store, "one")
    view = json.loads(client.get_experiment(number).tags["mlflow.sharedViewState.rnnexp"])
    assert "metrics.`test/loss`" in view["selectedColumns"]
    assert experiments_in(file) == {"study": (number, True)}


@pytest.mark.parametrize("written", ["x", "[]", "3", "{}", '{"selectedColumns": 3}'])
def test_what_is_no_view_is_replaced(store, client, written: str) -> None:
    number = client.create_experiment("study")
    client.set_experiment_tag(number, "mlflow.sharedViewState.rnnexp", written)
    new_run(store, "one")
    view = json.loads(client.get_experiment(number).tags["mlflow.sharedViewState.rnnexp"])
    assert "metrics.`test/loss`" in view["selectedColumns"]


@pytest.mark.parametrize("code", [PERMISSION_DENIED, INTERNAL_ERROR])
def test_who_may_set_no_tag_may_log_runs(store, client, monkeypatch, code: int) -> None:
    def refuse(*arguments: object) -> None:
        raise MlflowException("no", error_code=code)

    monkeypatch.setattr(store._client, "set_experiment_tag", refuse)
    if code == PERMISSION_DENIED:
        assert client.get_run(new_run(store, "one")).info.run_name == "a-run"
    else:  # it passes, and is tried again
        with pytest.raises(MlflowException, match="no"):
            new_run(store, "one")


def test_what_a_sweep_varies_is_a_column(store, client, file: Path) -> None:
    def view(key: str) -> dict[str, Any]:
        number = client.get_experiment_by_name("study").experiment_id
        return json.loads(client.get_experiment(number).tags[f"mlflow.sharedViewState.{key}"])

    def columns() -> list[str]:
        return view("rnnexp")["selectedColumns"]

    new_run(store, "one")
    before = columns()
    lr = Comparison(("optimizer.lr", "seed", "cell.hidden_size"), "val/accuracy", False)
    sweep = new_run(store, "sweep", lr)
    seed, loss = before.index("params.`seed`"), before.index("metrics.`test/loss`")
    assert loss == seed + 1
    new = ["params.`optimizer.lr`", "params.`cell.hidden_size`"]
    assert columns() == [*before[:loss], *new, *before[loss:]]
    new_run(store, "other", Comparison(("optimizer.lr",), "val/loss", True))
    assert columns() == [*before[:loss], *new, *before[loss:]]
    wide = new_run(store, "wide", Comparison(tuple(f"cell.o{i}" for i in range(99)), "x", True))
    assert columns()[-len(before[loss:]) :] == before[loss:], "figures are never crowded out"
    assert len(columns()) < 50
    of_sweep = view(sweep)
    accuracy = "metrics.`val/accuracy`"
    varied = [f"params.`{key}`" for key in lr.varied]
    figures = ["metrics.`test/loss`", "metrics.`cliffs/count`"]
    assert of_sweep.pop("selectedColumns") == [*varied, accuracy, *figures]
    child = f"tags.`mlflow.parentRunId` = '{sweep}'"
    assert of_sweep == {"searchFilter": child, "orderByKey": accuracy, "orderByAsc": False}
    of_tasks = new_run(store, "tasks", Comparison(("seed",), None, True))
    tasks = view(of_tasks)
    assert (tasks["orderByKey"], tasks["orderByAsc"]) == ("params.`task.name`", True)
    figures.append("metrics.`test/loss_relative`")
    assert tasks["selectedColumns"] == ["params.`task.name`", "params.`seed`", *figures]
    orders = {found.run_id: found.order for found in sweeps_in(file, 9)}
    assert {sweep, wide} < set(orders)
    assert (orders[sweep], orders[of_tasks]) == ("the best first", "task by task")
    assert len(sweeps_in(file, 9)) == 4, "a run that is no sweep has no view of its own"
    assert len(sweeps_in(file, 2)) == 2
    assert sweeps_in(file.parent / "none.db", 9) == []


def test_a_copy_of_the_file_alone_has_all_of_it(store, file: Path, tmp_path: Path) -> None:
    run_id = new_run(store, "one")
    store.log_metrics(run_id, some_points(0))
    beside = Path(f"{file}-wal")
    assert beside.stat().st_size > 0, "the last transactions stand beside the file"
    store.close()
    copy = tmp_path / "copy.db"
    copy.write_bytes(file.read_bytes())
    assert rows_of(copy, "metrics", run_id) == rows_of(file, "metrics", run_id) != []
    assert beside.stat().st_size == 0


def test_who_reads_the_store_is_not_waited_for(store, file: Path) -> None:
    run_id = new_run(store, "one")
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT COUNT(*) FROM metrics").fetchone() == (0,)
        store.log_metrics(run_id, some_points(0))
        begun = time.monotonic()
        store.close()
        assert time.monotonic() - begun < 10
        reader.execute("COMMIT")
    assert len(rows_of(file, "metrics", run_id)) > 0
