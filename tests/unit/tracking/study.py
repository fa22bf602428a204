"""A small run to put on record, and what a store then has of it."""

from pathlib import Path

from mlflow.tracking import MlflowClient

from rnnexp.tracking import RunHeader, RunLog
from rnnexp.tracking.records import start_record

EXPERIMENT = "study"


def header_of(run_id: str | None = None, **params: str) -> RunHeader:
    return RunHeader("a-run", EXPERIMENT, {"lr": "0.1", **params}, {"host": "h"}, run_id)


def start_of(key: str, header: RunHeader) -> dict:
    return start_record(header, key, "uri", None, 1000)


def record_run(folder: Path, uri: str, steps: int = 5, header: RunHeader | None = None) -> RunLog:
    log = RunLog(folder, header or header_of(), uri, None)
    for step in range(steps):
        log.metrics({"train/loss": 1 / (step + 1), "norm": 2.0}, step)
    return log


def runs_in(client: MlflowClient) -> list:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return client.search_runs([experiment.experiment_id]) if experiment else []


def steps_in(client: MlflowClient, run_id: str, key: str = "train/loss") -> list[int]:
    return [m.step for m in client.get_metric_history(run_id, key)]
