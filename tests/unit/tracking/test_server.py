"""What has a view, as a server tells it and as its file tells it."""

from pathlib import Path

from mlflow.tracking import MlflowClient

from rnnexp.tracking import Comparison, RunHeader, experiments_in, sweeps_in
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.records import start_record
from rnnexp.tracking.server import viewed_by

LR = Comparison(("optimizer.lr",), "val/loss", True)


def new_run(
    store: MlflowStore, name: str, time: int, study: str, compared: Comparison | None = None
) -> str:
    tags = {"rnnexp.sweep.jobs": "3", "mlflow.user": f"of-{name}"} if compared else {}
    header = RunHeader(name, study, {}, tags, compared=compared)
    return store.open_run(start_record(header, name, "uri", None, time))


def test_the_server_tells_what_the_file_tells(
    store: MlflowStore, client: MlflowClient, store_uri: str
) -> None:
    file = Path(store_uri.removeprefix("sqlite:///"))
    assert viewed_by(client, 8) == ({}, [])
    for number, study in enumerate(["first", "second", "first", "third"]):
        new_run(store, f"sweep{number}", 1000 + number, study, LR)
        new_run(store, f"run{number}", 2000 + number, study)
    client.delete_run(new_run(store, "deleted", 9000, "second", LR))
    experiments, sweeps = viewed_by(client, 8)
    assert list(experiments.items()) == list(experiments_in(file).items())
    assert list(experiments) == ["third", "first", "second"]
    assert sweeps == sweeps_in(file, 8)
    assert len(sweeps) == 4
    assert [(s.user, s.begun) for s in sweeps[:1]] == [("of-sweep3", 1003)]
    assert viewed_by(client, 2)[1] == sweeps[:2]


def test_experiments_of_other_programs_are_passed_over(
    store: MlflowStore, client: MlflowClient
) -> None:
    client.create_run(client.create_experiment("of another program"))
    new_run(store, "one", 1000, "mine")
    assert list(viewed_by(client, 8)[0]) == ["mine"]
