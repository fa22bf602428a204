"""MLflow's client; a store in a file is made whole, or not at all."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from mlflow.tracking import MlflowClient
from mlflow.utils.uri import append_to_uri_path, resolve_uri_if_local

from rnnexp.loading import load
from rnnexp.tracking.files import locked
from rnnexp.tracking.sqlite_points import SQLITE

_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""How often the client asks a server again, and for how many seconds it waits each time.

Its own defaults, 7 and 120, keep whoever asks waiting for a quarter of an hour. Who can wait longer
tries again by itself.
"""

_PLAIN_ROOT = "mlflow-artifacts:/"
"""MLflow writes the folder of its Default experiment into the text of an INSERT.

Where the name of the working folder has both kinds of quotes, or a part that begins with a colon,
that is no valid SQL: a store is made with this, and the folder put in afterwards.
"""


def open_client(uri: str) -> MlflowClient:
    """Open MLflow's client of a store; a file that is not there is made."""
    if not uri.startswith(SQLITE):
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)  # the client reads them at each request
        return MlflowClient(uri)
    path = Path(uri.removeprefix(SQLITE))
    # MLflow creates its tables without a lock of its own, and fails when two processes do.
    with locked(Path(f"{path}.lock")):
        if not path.exists():
            _make(path)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def load_file_stores() -> None:
    """Import what MLflow would import to open a store in a file: half as much as the client."""
    load("mlflow.store.tracking.sqlalchemy_store")


def _make(path: Path) -> None:
    # MLflow takes hundreds of transactions for it, and a file that a kill leaves amid them could
    # never be opened again. What such a kill leaves here is the next one's to remove.
    beside = Path(f"{path}.new")
    _remove(beside)
    try:
        _use_wal(beside)  # which also spares three of four waits for the disk
        stores = load("mlflow.store.tracking.sqlalchemy_store")
        store = stores.SqlAlchemyStore(f"{SQLITE}{beside}", _PLAIN_ROOT)
        store.engine.dispose()
        _place_default(beside)
        fold_wal(beside)
        beside.replace(path)
    finally:
        _remove(beside)


def _place_default(path: Path) -> None:
    root = resolve_uri_if_local(DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0",
            (append_to_uri_path(root, "0"),),
        )


def _use_wal(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def fold_wal(path: Path) -> None:
    """Put what stands in the file beside a store (``-wal``) into the store's own file.

    So that one who copies or moves that file alone has all of it. SQLite's last connection does it
    by itself, but not where the folder was renamed meanwhile: what it was opened by is no file any
    more. This one is opened by the name of now.

    Raises:
        sqlite3.Error: others are at it, or it is not there.
    """
    name = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(name, timeout=1.0, uri=True)
    try:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    if busy:
        raise sqlite3.OperationalError(f"{path} is in use by another process.")


def _remove(database: Path) -> None:
    for part in ("", "-wal", "-shm", "-journal"):
        Path(f"{database}{part}").unlink(missing_ok=True)
