"""What a store holds."""

from mlflow.entities import Run
from mlflow.tracking import MlflowClient


def runs_in(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["start_time ASC"]))


def points(uri: str, run: Run) -> dict[str, list[tuple[int, float]]]:
    client = MlflowClient(uri)
    keys = [key for key in run.data.metrics if not key.startswith("time/")]
    history = {key: client.get_metric_history(run.info.run_id, key) for key in keys}
    return {key: sorted((m.step, m.value) for m in found) for key, found in history.items()}
