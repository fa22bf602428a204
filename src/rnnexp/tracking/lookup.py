"""Find runs, check a store beforehand, deliver what was left behind."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rnnexp.errors import ConfigError, DamagedError, StoreAwayError, StoreError
from rnnexp.tracking.copied import check_place
from rnnexp.tracking.files import CURSOR, RUN, claimed, id_in, read_json
from rnnexp.tracking.forward import Forwarder
from rnnexp.tracking.journal import FILE, cut_torn_tail, read_from
from rnnexp.tracking.provenance import config_hash
from rnnexp.tracking.read_back import check_run
from rnnexp.tracking.records import Record, milliseconds
from rnnexp.tracking.service import add_artifact, delivered
from rnnexp.tracking.sqlite_points import DELETED, SQLITE, is_deleted, kept_in, place_of
from rnnexp.tracking.stores import Stores
from rnnexp.tracking.walk import files_named

if TYPE_CHECKING:
    from rnnexp.tracking.mlflow_store import MlflowStore

ID_BEGINNING = 4
"""So many characters of a run's id may stand for it; fewer stand for none."""
LATEST = "latest"
"""Stands for the run that has written to its record last."""
_SERVERS = ("http://", "https://", "postgresql", "mysql", "mssql", "databricks")


def find_run(run_id: str, outputs: Path) -> Path | None:
    """Find the folder of a run by its MLflow id; the newest, if it was resumed.

    Args:
        run_id: the id, or its beginning, of `ID_BEGINNING` characters at least; or `LATEST`.
        outputs: the folder below which runs lie.

    Raises:
        ConfigError: the ids of several runs begin so.
    """
    if run_id == LATEST:
        return _latest(outputs)
    if len(run_id) < ID_BEGINNING:
        return None
    files = sorted(files_named(RUN, outputs), key=lambda file: file.stat().st_mtime)
    known = {id_in(file.parent) or "": file.parent for file in files}
    found = [known_id for known_id in known if known_id.startswith(run_id)]
    if len(found) > 1:
        raise ConfigError(
            f"Several runs have ids that begin with {run_id}: {', '.join(sorted(found))}. Give "
            "more of it."
        )
    return known[found[0]] if found else None


def _latest(outputs: Path) -> Path | None:
    journals = sorted(
        files_named(FILE, outputs), key=lambda file: file.stat().st_mtime, reverse=True
    )
    for journal in journals:
        start = _start_of(journal)
        if start and not start.get("compared"):  # or it is that of a sweep
            return journal.parent
    return None


def store_of(folder: Path) -> str | None:
    """Tell which store a run belongs to; None if its journal is empty."""
    start = _start_of(folder / FILE)
    return str(start["uri"]) if start else None


def key_of(folder: Path) -> str | None:
    """Tell by which key the store can find a run; None if it has no record."""
    journal = folder / FILE
    start = _start_of(journal) if journal.is_file() else None
    return str(start["key"]) if start else None


def first_tags_of(folder: Path) -> dict[str, str]:
    """Read the tags that a run has begun with, and no more of its record; none where it is empty.

    Raises:
        StoreError: the folder holds no record.
    """
    check_run(folder)
    start = _start_of(folder / FILE)
    return dict(start["tags"]) if start else {}


def _start_of(journal: Path) -> Record | None:
    return next(iter(read_from(journal, 0, limit=1)[0]), None)


def complete_in_files(folders: Iterable[Path], uri: str | None = None) -> set[Path]:
    """Find the runs whose whole record is in a store in a file; each store is asked once.

    Args:
        folders: of runs.
        uri: as in `sync`.
    """
    stored: dict[str, dict[Path, str]] = {}
    for folder in folders:
        with suppress(DamagedError):  # said when it is delivered
            own = store_of(folder)
            cursor = _cursor_of(uri, own)
            run_id = read_json(folder / cursor, needed=False).get("run_id")
            if own and run_id and delivered(folder, cursor):
                stored.setdefault(uri or own, {})[folder] = str(run_id)
    found = set[Path]()
    for store, runs in stored.items():
        kept = kept_in(store, runs.values())
        found |= {folder for folder, run_id in runs.items() if run_id in kept}
    return found


def sync(
    folder: Path,
    uri: str | None = None,
    root: Path | None = None,
    stores: Stores | None = None,
) -> str:
    """Deliver what a run left behind, each point once.

    Args:
        folder: the run's folder.
        uri: another store than the run's own; it gets the whole run.
        root: folder for the artifacts of a new experiment; None takes the one that was recorded.
        stores: of the command, which leaves them; None opens one for this run.

    Returns:
        What was done, in words; a run whose process is still at work is left alone.

    Raises:
        StoreError: the store cannot be used; StoreAwayError where it does not answer.
    """
    with claimed(folder / FILE) as free, Stores() as own:
        if free is False:
            return "left alone, its process is still at work"
        return _sync(folder, uri, root, stores or own, is_over=free is True)


def add_artifacts(folder: Path, files: Iterable[Path], where: str, root: Path | None = None) -> str:
    """Have files that were made of an ended run copied to its store.

    Args:
        folder: the run's folder.
        files: what was made.
        where: the folder among the run's artifacts.
        root: see `sync`.

    Returns:
        What was done, in words, as `sync`.

    Raises:
        StoreError: the store cannot be used now; `sync` delivers the files later.
    """
    with claimed(folder / FILE) as free:
        if free is False:
            return "left alone, its process is still at work"
    for file in files:
        add_artifact(folder, file, where)
    return sync(folder, root=root)


def _cursor_of(uri: str | None, own: str | None) -> str:
    return CURSOR if uri in (None, own) else f"cursor-{config_hash({'uri': uri})}.json"


def _sync(folder: Path, uri: str | None, root: Path | None, stores: Stores, is_over: bool) -> str:
    own = store_of(folder)
    if own is None:
        return "empty, nothing to deliver"
    cursor = _cursor_of(uri, own)
    check_store(uri or own)
    if is_over:
        cut_torn_tail(folder / FILE)
    try:
        return _deliver(folder, stores.at(uri or own), cursor, root, is_over)
    except DamagedError:
        raise
    except Exception as error:
        kind = StoreAwayError if is_away(error) else StoreError
        raise kind(f"{uri or own}: {error}. Nothing is lost; try again later.") from error


def is_away(error: BaseException) -> bool:
    """Tell whether MLflow's client has failed because no server answered."""
    # MLflow's client wraps what its HTTP library raised in an error of its own.
    inner = error.__cause__ or error.__context__
    is_http = type(error).__module__.partition(".")[0] == "requests"
    return is_http or (inner is not None and is_away(inner))


def _deliver(
    folder: Path, store: "MlflowStore", cursor: str, root: Path | None, is_over: bool
) -> str:
    known = read_json(folder / cursor, needed=False).get("run_id")
    # The cursor says what the store was given, not what it has kept: its file may be another now.
    lost = known is not None and not store.has_run(known)
    if lost:
        (folder / cursor).unlink()
    elif delivered(folder, cursor):
        return "complete already"
    forwarder = Forwarder(folder, store, cursor, root and root.resolve().as_uri())
    forwarder.drain()
    if is_over:
        forwarder.abandon(milliseconds())
    forwarder.copy_left()
    if not (is_over or forwarder.ended):
        return "delivered so far; whether its process is still at work cannot be told here"
    return "delivered again, for the store no longer had it" if lost else "delivered"


def check_store(uri: str, experiment: str | None = None, root: Path | None = None) -> None:
    """Refuse a store that cannot be used, without asking the network.

    Args:
        uri: the store.
        experiment: the one that runs are to go to.
        root: folder for the artifacts of a new experiment.

    Raises:
        StoreError: unknown scheme, a file or a folder that cannot be written, or a deleted
            experiment in it.
    """
    if uri.startswith(_SERVERS):
        return
    if not uri.startswith(SQLITE):
        raise StoreError(
            f"tracking.uri={uri}: not a store MLflow can write to. "
            "Use sqlite:///FILE or the http address of an MLflow server."
        )
    path = Path(uri.removeprefix(SQLITE))
    target = path if path.exists() else path.parent
    if not target.exists():
        raise StoreError(f"tracking.uri={uri}: the folder {path.parent} does not exist. Create it.")
    if path.is_dir() or not os.access(target, os.W_OK):
        raise StoreError(f"tracking.uri={uri}: {target.resolve()} cannot be written.")
    if experiment is not None and is_deleted(path, experiment):
        raise StoreError(f"tracking.uri={uri}: {DELETED.format(experiment)}")
    if root is not None and place_of(path, experiment or "") in (None, root.as_uri()):
        check_place(uri, root)
