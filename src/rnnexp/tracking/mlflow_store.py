"""A tracking store behind MLflow's client."""

import logging
import posixpath
import re
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlflow.entities import Experiment, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from rnnexp.tracking.family import BEST_KEY, KEY, Family
from rnnexp.tracking.forward import Point
from rnnexp.tracking.mlflow_client import fold_wal, open_client
from rnnexp.tracking.records import ERROR_TAG, Record, Status
from rnnexp.tracking.sqlite_points import DELETED, SQLITE, SqlitePoints, are_known
from rnnexp.tracking.views import TAG, VIEW, view_of_all, view_of_sweep

_MAX_PARAM = 6000
_MAX_TAG = 5000
_MAX_KEY = 250
_BATCH = 100
_POINTS = 1000
"""What the client takes at once."""
_TRANSACTION = 5000
"""Points written to a file at once: others wait for the file meanwhile, some 20 ms."""
_UNKNOWN, _DENIED = "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"


class MlflowStore:
    """A tracking store behind MLflow's client.

    Args:
        uri: sqlite:///FILE, or the address of an MLflow server.
    """

    def __init__(self, uri: str) -> None:
        for noisy in ("alembic", "mlflow"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        # It prints the traceback of what it raises, which its caller says in a line.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        self._client = open_client(uri)
        self._is_file = uri.startswith(SQLITE)
        self._file = Path(uri.removeprefix(SQLITE))
        self._points = SqlitePoints(self._file) if self._is_file and are_known(self._file) else None
        self._experiments: dict[str, str] = {}  # of the runs opened here
        self._places: dict[str, str] = {}  # where the files go of those created here in a file
        self._family = Family(self)

    def open_run(self, start: Record) -> str:
        """Create the run of a start record, or find it by its key if a create went through."""
        # A store that has lost the run, or never had it, gets what goes on as a run of its own.
        if start["run_id"] is not None and self.has_run(str(start["run_id"])):
            return self._reopen(str(start["run_id"]), start)
        place = self._experiment(start["experiment"], start["artifacts"])
        experiment = str(place.experiment_id)
        tags = self._family.tags_for(experiment, start.get("parent_key"))
        start = {**start, "tags": {**start["tags"], **tags}}
        run_id = self._open(experiment, start)
        self._family.join(experiment, run_id, start)
        self._show(place, run_id, start.get("compared") or {})
        return run_id

    def _open(self, experiment: str, start: Record) -> str:
        found = self.find(experiment, KEY, start["key"])
        if found and start.get("continues"):
            return self._reopen(found[0], start)
        if found:  # when it was created less may have been known of its sweep
            self.put_tags(found[0], start["tags"])
        else:
            found = self._create(experiment, start)
        for surplus in found[1:]:
            self._client.delete_run(surplus)
        self._log_params(found[0], start["params"])
        self._experiments[found[0]] = experiment
        return found[0]

    def has_run(self, run_id: str) -> bool:
        """Tell whether the store knows a run, be it one that was deleted in its UI."""
        return self._run(run_id) is not None

    def experiment_of(self, run_id: str) -> str:
        """Return the id of the experiment a run belongs to."""
        if run_id in self._experiments:
            return self._experiments[run_id]
        return str(self._client.get_run(run_id).info.experiment_id)

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        """Send points, or write them where the store is a file."""
        allowed = [(_allowed(key), value, time, step) for key, value, time, step in points]
        for begin in range(0, len(allowed), _TRANSACTION):
            self._take(run_id, allowed[begin : begin + _TRANSACTION])

    def _take(self, run_id: str, points: list[Point]) -> None:
        if self._points is not None and self._points.add(run_id, points):
            return
        for begin in range(0, len(points), _POINTS):
            metrics = [Metric(*point) for point in points[begin : begin + _POINTS]]
            self._client.log_batch(run_id, metrics=metrics)

    @property
    def keeps_once(self) -> bool:
        """Whether points are written by `SqlitePoints`, which ignores what the tables have."""
        return self._points is not None

    def steps_of(self, run_id: str, key: str) -> set[tuple[int, int]]:
        """Ask for step and time of all points of a metric."""
        history = self._client.get_metric_history(run_id, _allowed(key))
        return {(m.step, m.timestamp) for m in history}

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags; where one says which job of a sweep is the best, name its run, too."""
        self.put_tags(run_id, tags)
        if BEST_KEY in tags:
            self._family.name_best(self.experiment_of(run_id), run_id, tags[BEST_KEY])

    def put_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, a hundred per request."""
        items = list(_cut(tags, _MAX_TAG).items())
        for begin in range(0, len(items), _BATCH):
            batch = [RunTag(key, value) for key, value in items[begin : begin + _BATCH]]
            self._client.log_batch(run_id, tags=batch)

    def tags_of(self, run_id: str) -> Mapping[str, str] | None:
        """Return the tags of an active run; None where it is deleted or not there."""
        if self._points is not None:
            return self._points.tags_of(run_id)
        run = self._run(run_id)
        return run.data.tags if run and run.info.lifecycle_stage == "active" else None

    def find(self, experiment: str, tag: str, value: str) -> list[str]:
        """List the active runs of an experiment that have a tag of this value, the oldest first."""
        if self._points is not None:
            return self._points.runs_with(experiment, tag, value)
        query, found, page = f"tags.`{tag}` = '{value}'", list[str](), None
        while True:
            runs = self._client.search_runs(
                [experiment], query, order_by=["start_time ASC"], page_token=page
            )
            found += [str(run.info.run_id) for run in runs]
            page = runs.token
            if not page:
                return found

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag, if the run has it."""
        if key in self._client.get_run(run_id).data.tags:
            self._client.delete_tag(run_id, key)

    def log_artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Copy a file."""
        if run_id not in self._places:
            self._client.log_artifact(run_id, str(path), folder or None)
        else:  # the client would read all of a run first, to find where its files go
            files = get_artifact_repository(self._places[run_id])
            files.log_artifact(str(path), folder or None)

    def end_run(self, run_id: str, status: Status, time: int) -> None:
        """Set the final status."""
        self._client.set_terminated(run_id, status, time)
        self._places.pop(run_id, None)

    def close(self) -> None:
        """Leave the store as one that nobody is at."""
        if self._points is not None:
            with suppress(sqlite3.Error):  # others are at it, and do so later
                fold_wal(self._file)

    def _run(self, run_id: str) -> Any:
        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == _UNKNOWN:
                return None
            raise

    def _experiment(self, name: str, artifacts: str | None) -> Experiment:
        found = self._client.get_experiment_by_name(name) or self._made(name, artifacts)
        if found.lifecycle_stage != "active":
            raise MlflowException(DELETED.format(name), INVALID_STATE)
        return found

    def _made(self, name: str, artifacts: str | None) -> Experiment:
        try:
            return self._client.get_experiment(self._client.create_experiment(name, artifacts))
        except MlflowException:
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return found  # another process was faster

    def _show(self, place: Experiment, run_id: str, compared: Mapping[str, Any]) -> None:
        before = place.tags.get(TAG + VIEW, "")
        views = {VIEW: view_of_all(before, compared.get("varied", ()))}
        if compared:
            views[run_id] = view_of_sweep(run_id, compared)
        for key, view in views.items():
            if view != place.tags.get(TAG + key):
                self._set_view(place.experiment_id, TAG + key, view)

    def _set_view(self, experiment: str, tag: str, view: str) -> None:
        try:
            self._client.set_experiment_tag(experiment, tag, view)
        except MlflowException as error:
            if error.error_code != _DENIED:  # the experiment is somebody else's; the runs go there
                raise

    def _create(self, experiment: str, start: Record) -> list[str]:
        tags = {**_cut(start["tags"], _MAX_TAG), KEY: start["key"]}
        time, name = start["time"], start["name"]
        run: Any = self._client.create_run(experiment, time, tags=tags, run_name=name)
        if self._is_file:
            run_id = str(run.info.run_id)
            self._places[run_id] = str(run.info.artifact_uri)
            return [run_id]
        # The client sends a create again when the reply of a server is lost: the first counts.
        return self.find(experiment, KEY, start["key"])

    def _reopen(self, run_id: str, start: Record) -> str:
        run: Any = self._client.get_run(run_id)
        self._client.update_run(run_id, status="RUNNING")
        if ERROR_TAG in run.data.tags:  # why it ended before is no longer true
            self._client.delete_tag(run_id, ERROR_TAG)
        old: dict[str, str] = run.data.params
        params = _cut(start["params"], _MAX_PARAM)
        self._log_params(run_id, {k: v for k, v in params.items() if k not in old})
        # MLflow refuses to change a parameter: the new value stands in a tag.
        changed = {k: v for k, v in params.items() if k in old and old[k] != v}
        tags = {f"rnnexp.resumed.{key}": value for key, value in changed.items()}
        self.set_tags(run_id, {**start["tags"], **tags})
        return run_id

    def _log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        items = list(_cut(params, _MAX_PARAM).items())
        for begin in range(0, len(items), _BATCH):
            batch = [Param(key, value) for key, value in items[begin : begin + _BATCH]]
            self._client.log_batch(run_id, params=batch)


def _cut(values: Mapping[str, str], limit: int) -> dict[str, str]:
    short = {k: v if len(v) <= limit else f"{v[: limit - 3]}..." for k, v in values.items()}
    return {_allowed(key): value for key, value in short.items()}


@lru_cache(maxsize=4096)
def _allowed(key: str) -> str:
    # MLflow refuses other names, and with them everything in the same request: a plugin's
    # "top@5" must not hold up the run.
    plain = posixpath.normpath(re.sub(r"[^\w\-./: ]", "_", key)).lstrip("./")
    return plain[:_MAX_KEY] or "_"
