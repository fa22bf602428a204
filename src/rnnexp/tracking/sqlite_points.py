"""Points straight into the tables of an MLflow store in sqlite, and what is asked most often of it.

MLflow's client makes an object of its database layer for each point and each latest value: some
65 us a point, so that the record of a step costs a third of the step on a machine whose cores all
train. Here it is 4 us. What is written is what the client writes; where the tables are not those
known here, the client does it.
"""

import json
import math
import sqlite3
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from rnnexp.tracking.family import KEY, PARENT_KEY
from rnnexp.tracking.forward import Point
from rnnexp.tracking.views import TAG, VIEW, SweepView, order_of

_Row = tuple[str, str, float, int, int, bool]
SQLITE = "sqlite:///"
DELETED = "The experiment '{}' is deleted. Restore it, or use another tracking.experiment."
WAIT_SECONDS = 60.0
_UPSERT_SINCE = (3, 24)
_CACHE_KIB = 32_768
"""The pages that a transaction touches: with sqlite's own 2 MB it takes an eighth longer."""
_KNOWN = {
    "metrics": {"key": 1, "timestamp": 2, "step": 3, "run_uuid": 4, "value": 5, "is_nan": 6},
    "latest_metrics": {"key": 1, "run_uuid": 2, "value": 0, "timestamp": 0, "step": 0, "is_nan": 0},
    "tags": {"key": 1, "run_uuid": 2, "value": 0},
}
"""The columns of each table, and their places in its primary key."""
_INSERT = """
    INSERT OR IGNORE INTO metrics (run_uuid, key, value, timestamp, step, is_nan)
    VALUES (?, ?, ?, ?, ?, ?)
"""
_UPDATE = """
    INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (key, run_uuid) DO UPDATE SET
        value = excluded.value, timestamp = excluded.timestamp,
        step = excluded.step, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value)
        > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)
"""


class SqlitePoints:
    """Write points into a store file.

    Args:
        path: the file, whose tables `are_known` has found right.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")

    def add(self, run_id: str, points: Sequence[Point]) -> bool:
        """Take points, those that are stored already once.

        Returns:
            False, and nothing is taken, where the run is not an active one.

        Raises:
            sqlite3.OperationalError: the file is locked for a minute, or cannot be written.
        """
        rows = [_row(run_id, point) for point in points]
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            if not self._is_active(run_id):
                return False
            connection.executemany(_INSERT, rows)
            connection.executemany(_UPDATE, _latest(rows))
        return True

    def runs_with(self, experiment: str, tag: str, value: str) -> list[str]:
        """List the active runs of an experiment that have a tag of this value, the oldest first."""
        asked = """
            SELECT r.run_uuid FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid
            WHERE t.key = ? AND t.value = ? AND r.experiment_id = ? AND r.lifecycle_stage = 'active'
            ORDER BY r.start_time
        """
        return [str(row[0]) for row in self._connection.execute(asked, (tag, value, experiment))]

    def tags_of(self, run_id: str) -> dict[str, str] | None:
        """Return the tags of an active run; None where there is none of this id."""
        if not self._is_active(run_id):
            return None
        asked = "SELECT key, value FROM tags WHERE run_uuid = ?"
        return dict(self._connection.execute(asked, (run_id,)).fetchall())

    def _is_active(self, run_id: str) -> bool:
        asked = "SELECT 1 FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
        return self._connection.execute(asked, (run_id,)).fetchone() is not None


def are_known(path: Path) -> bool:
    """Tell whether the tables of a store file are those that are written to here."""
    if sqlite3.sqlite_version_info < _UPSERT_SINCE or not path.is_file():
        return False
    with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as connection:
        return all(_columns(connection, table) == found for table, found in _KNOWN.items())


def experiments_in(path: Path) -> dict[str, tuple[str, bool]]:
    """List the experiments of a store file that have runs, the newest first.

    Returns:
        By name, the id, and whether there is a view of this program's on it; nothing where the
        tables are not those known here.
    """
    asked = """
        SELECT e.name, e.experiment_id, MAX(t.key IS NOT NULL)
        FROM experiments e JOIN runs r ON r.experiment_id = e.experiment_id
        LEFT JOIN experiment_tags t ON t.experiment_id = e.experiment_id AND t.key = ?
        WHERE e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active'
        GROUP BY e.experiment_id ORDER BY MAX(r.start_time) DESC
    """
    found = _asked(path, asked, TAG + VIEW)
    return {str(name): (str(number), bool(viewed)) for name, number, viewed in found}


def experiment_with(uri: str, key: str, rather: str) -> str | None:
    """Name the experiment that has the run of a key or, if none has, the runs of that sweep.

    Args:
        uri: the store; a server is not asked, and names none.
        key: of a run, as its journal calls it.
        rather: the experiment that is named where several have them.
    """
    path = Path(uri.removeprefix(SQLITE))
    asked = """
        SELECT e.name FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid
        JOIN experiments e ON e.experiment_id = r.experiment_id
        WHERE t.key IN (?, ?) AND t.value = ?
        AND r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'
        ORDER BY t.key = ? DESC, e.name = ? DESC LIMIT 1
    """
    values = (KEY, PARENT_KEY, key, KEY, rather)
    found = _asked(path, asked, *values) if uri.startswith(SQLITE) and path.is_file() else []
    return str(found[0][0]) if found else None


def is_deleted(path: Path, experiment: str) -> bool:
    """Tell whether an experiment of a store file was deleted: no run is taken under its name."""
    asked = "SELECT 1 FROM experiments WHERE name = ? AND lifecycle_stage = 'deleted'"
    return path.is_file() and bool(_asked(path, asked, experiment))


def place_of(path: Path, experiment: str) -> str | None:
    """Tell where the artifacts of an experiment lie, as a URI; None where there is no such."""
    asked = "SELECT artifact_location FROM experiments WHERE name = ?"
    found = _asked(path, asked, experiment) if path.is_file() else []
    return str(found[0][0]) if found else None


def sweeps_in(path: Path, most: int) -> list[SweepView]:
    """List the latest sweeps of a store file that have a view of their own.

    Returns:
        The newest first; nothing where the tables are not those known here.
    """
    asked = """
        SELECT r.name, r.experiment_id, r.run_uuid, t.value, u.value, r.start_time
        FROM runs r JOIN experiment_tags t
        ON t.experiment_id = r.experiment_id AND t.key = ? || r.run_uuid
        LEFT JOIN tags u ON u.run_uuid = r.run_uuid AND u.key = 'mlflow.user'
        WHERE r.lifecycle_stage = 'active' ORDER BY r.start_time DESC LIMIT ?
    """
    found = _asked(path, asked, TAG, most)
    return [
        SweepView(str(name), str(number), str(run), order_of(view), user or "", begun)
        for name, number, run, view, user, begun in found
    ]


def kept_in(uri: str, ids: Iterable[str]) -> set[str]:
    """Tell which runs a store in a file has, be they deleted in its UI.

    Args:
        uri: the store; a server is not asked.
        ids: of the runs.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or not path.is_file():
        return set()
    asked = "SELECT run_uuid FROM runs WHERE run_uuid IN (SELECT value FROM json_each(?))"
    return {str(row[0]) for row in _asked(path, asked, json.dumps(list(ids)))}


def lost_from(uri: str, ids: Collection[str]) -> set[str]:
    """Tell which runs a store in a file does not have, though it had them once.

    Args:
        uri: the store; a server is not asked, and has lost none as far as is known.
        ids: of the runs.
    """
    if not uri.startswith(SQLITE):
        return set()
    path = Path(uri.removeprefix(SQLITE))
    if not path.is_file():
        return set(ids)
    asked = "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT run_uuid FROM runs)"
    return {str(row[0]) for row in _asked(path, asked, json.dumps(list(ids)))}


def _asked(path: Path, query: str, *values: str | int) -> list[Any]:
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as store:
        return store.execute(query, values).fetchall()
    return []


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, int]:
    return {row[1]: row[5] for row in connection.execute(f"PRAGMA table_info({table})")}


def _row(run_id: str, point: Point) -> _Row:
    key, value, time, step = point
    if math.isnan(value):
        return run_id, key, 0.0, time, step, True
    # sqlite has no infinity: MLflow stores the largest number instead.
    largest = sys.float_info.max
    return run_id, key, min(max(value, -largest), largest), time, step, False


def _latest(rows: Sequence[_Row]) -> list[_Row]:
    latest: dict[str, _Row] = {}
    for row in rows:
        known = latest.get(row[1])
        if known is None or _age(row) > _age(known):
            latest[row[1]] = row
    return list(latest.values())


def _age(row: _Row) -> tuple[int, int, float]:
    return row[4], row[3], row[2]
