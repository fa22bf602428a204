"""A sweep and its jobs find each other in the store, whichever comes first."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.tracking import Comparison, RunHeader
from rnnexp.tracking.family import BEST_KEY, BEST_RUN, PARENT
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.records import Record, start_record

from .study import EXPERIMENT


def record(key: str, parent: str | None = None, continues: bool = False) -> Record:
    compared = None if parent else Comparison((), "val/loss", minimize=True)
    header = RunHeader(
        key, EXPERIMENT, {}, {}, continues=continues, parent_key=parent, compared=compared
    )
    return start_record(header, key, "uri", None, 1000)


def parent_of(client: MlflowClient, run_id: str) -> str | None:
    return client.get_run(run_id).data.tags.get(PARENT)


def best_of(client: MlflowClient, run_id: str) -> str | None:
    return client.get_run(run_id).data.tags.get(BEST_RUN)


@pytest.fixture(params=["file", "client"])
def either(request: pytest.FixtureRequest, store: MlflowStore) -> MlflowStore:
    """A store that is written to straight, and one through MLflow's client, as a server is."""
    if request.param == "client":
        store._points, store._is_file = None, False
    return store


def test_a_job_that_comes_first_is_attached_by_its_sweep(either: MlflowStore, client) -> None:
    jobs = [either.open_run(record(f"job{n}", "sweep")) for n in range(3)]
    other = either.open_run(record("job", "another sweep"))
    sweep = either.open_run(record("sweep"))
    later = either.open_run(record("later", "sweep"))
    assert {parent_of(client, job) for job in [*jobs, later]} == {sweep}
    assert parent_of(client, other) is None


def test_jobs_of_a_deleted_sweep_go_to_the_one_that_follows(either: MlflowStore, client) -> None:
    first = either.open_run(record("sweep"))
    job = either.open_run(record("job", "sweep"))
    client.delete_run(first)
    late = either.open_run(record("late", "sweep"))
    assert parent_of(client, late) is None or parent_of(client, late) == first
    second = either.open_run(record("sweep", continues=True))
    assert second != first
    assert parent_of(client, job) == parent_of(client, late) == second


def test_more_jobs_than_a_page_are_attached(
    either: MlflowStore, client, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = either._client.search_runs
    monkeypatch.setattr(
        either._client, "search_runs", lambda *args, **more: search(*args, max_results=2, **more)
    )
    jobs = [either.open_run(record(f"job{n}", "sweep")) for n in range(5)]
    sweep = either.open_run(record("sweep"))
    assert {parent_of(client, job) for job in jobs} == {sweep}


def during_create(store: MlflowStore, act: Callable[[], str]) -> list[str]:
    """Let another writer act after a run has looked for its sweep, and before it is there."""
    create, done = store._create, list[str]()

    def late(experiment: str, start: Record) -> list[str]:
        done.append(act())
        return create(experiment, start)

    store._create = late  # type: ignore[method-assign]
    return done


def test_a_sweep_that_comes_while_its_job_is_created(
    either: MlflowStore, store_uri: str, client
) -> None:
    done = during_create(either, lambda: MlflowStore(store_uri).open_run(record("sweep")))
    job = either.open_run(record("job", "sweep"))
    assert [parent_of(client, job)] == done


def test_a_sweep_that_is_replaced_while_its_job_is_created(
    either: MlflowStore, store_uri: str, client
) -> None:
    first = either.open_run(record("sweep"))

    def replace() -> str:
        client.delete_run(first)
        return MlflowStore(store_uri).open_run(record("sweep", continues=True))

    done = during_create(either, replace)
    job = either.open_run(record("job", "sweep"))
    assert [parent_of(client, job)] == done != [first]


def test_a_create_that_went_through_before_its_sweep_came(
    either: MlflowStore, store_uri: str, client
) -> None:
    job = either.open_run(record("job", "sweep"))
    header = RunHeader("sweep", EXPERIMENT, {}, {})  # of a version that took no children
    sweep = MlflowStore(store_uri).open_run(start_record(header, "sweep", "uri", None, 1))
    assert either.open_run(record("job", "sweep")) == job
    assert parent_of(client, job) == sweep


def test_many_writers_at_once_leave_no_job_alone(store_uri: str, client) -> None:
    stores = [MlflowStore(store_uri) for _ in range(4)]
    stores[0].open_run(record("before"))  # makes the experiment
    starts = [record(f"job{n}", "sweep") for n in range(8)]
    starts.insert(4, record("sweep"))
    with ThreadPoolExecutor(4) as pool:
        opened = pool.map(lambda n: [stores[n].open_run(r) for r in starts[n::4]], range(4))
    names = {i: client.get_run(i).info.run_name for lane in opened for i in lane}
    (sweep,) = (run_id for run_id, name in names.items() if name == "sweep")
    assert [parent_of(client, i) for i in names if i != sweep] == [sweep] * 8


def test_the_best_job_is_named_once_the_store_has_it(either: MlflowStore, client) -> None:
    sweep = either.open_run(record("sweep"))
    first = either.open_run(record("first", "sweep"))
    either.set_tags(sweep, {BEST_KEY: "first"})
    assert best_of(client, sweep) == first
    either.set_tags(sweep, {BEST_KEY: "second"})
    assert best_of(client, sweep) is None, "rather than a worse one"
    assert either.open_run(record("third", "sweep")) != best_of(client, sweep)
    second = either.open_run(record("second", "sweep"))
    assert best_of(client, sweep) == second


def test_a_best_job_that_the_store_gets_anew_has_its_new_id(either: MlflowStore, client) -> None:
    sweep = either.open_run(record("sweep"))
    old = either.open_run(record("job", "sweep"))
    either.set_tags(sweep, {BEST_KEY: "job"})
    client.delete_run(old)
    new = either.open_run(record("job", "sweep"))
    assert best_of(client, sweep) == new != old


def test_a_server_attaches_and_names_as_well(
    start_server, free_port: int, store_uri: str, tmp_path: Path
) -> None:
    start_server(free_port)
    store = MlflowStore(f"http://127.0.0.1:{free_port}")
    client = MlflowClient(store_uri)
    job = store.open_run(record("job", "sweep"))
    first = store.open_run(record("sweep"))
    store.set_tags(first, {BEST_KEY: "later"})
    later = store.open_run(record("later", "sweep"))
    assert (parent_of(client, job), best_of(client, first)) == (first, later)
    client.delete_run(first)
    second = store.open_run(record("sweep", continues=True))
    assert parent_of(client, job) == parent_of(client, later) == second != first
