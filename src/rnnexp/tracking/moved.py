"""A store in a file whose project was moved or copied, with the artifacts beside it.

MLflow writes down where the artifacts of an experiment, of each of its runs and models lie, as
absolute places. A store that lies beside ``outputs/`` is one unit with it, wherever it is now.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from rnnexp.tracking.sqlite_points import SQLITE, WAIT_SECONDS

_ELSEWHERE = """
    SELECT experiment_id, artifact_location FROM experiments
    WHERE artifact_location LIKE 'file:%/outputs/mlflow' AND artifact_location != ?
"""
_PLACES = {"runs": ("run_uuid", "artifact_uri"), "logged_models": ("model_id", "artifact_location")}
"""By table, the columns that name a thing and where its artifacts lie."""


def follow_move(uri: str, root: Path | None) -> list[Path]:
    """Have a store in a file name the present place of its artifacts, if it came here with them.

    Args:
        uri: the store.
        root: folder for the artifacts of this project. A store that does not lie beside it is left
            as it is: several projects may share one on purpose.

    Returns:
        The places that it no longer names.
    """
    path = Path(uri.removeprefix(SQLITE))
    if root is None or not path.is_file() or not lies_beside(uri, root):
        return []
    # A store that cannot be read, or has other tables: who opens it says so.
    with suppress(sqlite3.Error), closing(_open(path)) as store:
        return _follow(store, root)
    return []


def lies_beside(uri: str, root: Path) -> bool:
    """Tell whether a store in a file is of one unit with a folder for artifacts."""
    return Path(uri.removeprefix(SQLITE)).resolve().parent == root.parent.parent


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)


def _follow(store: sqlite3.Connection, root: Path) -> list[Path]:
    if not store.execute(_ELSEWHERE, (root.as_uri(),)).fetchall():
        return []
    left: dict[Path, None] = {}
    with store:
        store.execute("BEGIN IMMEDIATE")  # and asked again: another process may do the same
        for experiment, old in store.execute(_ELSEWHERE, (root.as_uri(),)).fetchall():
            if _follow_experiment(store, experiment, old, root):
                left[_path_of(old)] = None
    return list(left)


def _follow_experiment(store: sqlite3.Connection, experiment: int, old: str, root: Path) -> bool:
    moves = {table: _moves(store, table, experiment, old, root) for table in _PLACES}
    came_along = any(_exists(new) for pairs in moves.values() for new, _ in pairs)
    is_there = _path_of(old).is_dir()
    if _path_of(old).resolve() == root or (is_there and not came_along):  # another project's
        return False
    for table, (key, place) in _PLACES.items():
        store.executemany(f"UPDATE {table} SET {place} = ? WHERE {key} = ?", moves[table])
    new_place = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
    store.execute(new_place, (root.as_uri(), experiment))
    return True


def _moves(
    store: sqlite3.Connection, table: str, experiment: int, old: str, root: Path
) -> list[tuple[str, str]]:
    key, place = _PLACES[table]
    asked = f"SELECT {key}, {place} FROM {table} WHERE experiment_id = ?"
    found = dict(store.execute(asked, (experiment,)).fetchall())
    moves = [
        (was, root.as_uri() + was.removeprefix(old), name)
        for name, was in found.items()
        if was and was.startswith(f"{old}/")
    ]
    # What was written to the old place after a copy lies there alone, and stays.
    return [(new, name) for was, new, name in moves if _exists(new) or not _exists(was)]


def _exists(uri: str) -> bool:
    return _path_of(uri).exists()


def _path_of(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path))
