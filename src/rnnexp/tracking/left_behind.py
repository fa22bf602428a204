"""Complete and deliver what runs have left behind whose processes have ended."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rnnexp.errors import DamagedError, StoreAwayError, StoreError
from rnnexp.files import CURSOR, JOURNAL
from rnnexp.tracking.files import claimed, read_json
from rnnexp.tracking.forward import Forwarder
from rnnexp.tracking.journal import JournalWriter, cut_torn_tail
from rnnexp.tracking.lookup import store_of
from rnnexp.tracking.provenance import config_hash
from rnnexp.tracking.records import Status, artifact_record, end_record, milliseconds
from rnnexp.tracking.service import delivered
from rnnexp.tracking.sqlite_points import kept_in
from rnnexp.tracking.stores import Stores, check_store, is_away

if TYPE_CHECKING:
    from rnnexp.tracking.mlflow_store import MlflowStore


def close_journal(folder: Path, status: Status, reason: str, log: Path) -> None:
    """Say in the journal of a run whose process has died how it ended.

    Args:
        folder: the run's folder.
        status: how it ended.
        reason: why.
        log: a file that may tell more, kept as an artifact where there is one.
    """
    journal = JournalWriter(folder, background=False)
    if log.is_file():
        journal.append(artifact_record(folder, log, ""))
    journal.append(end_record(status, reason, milliseconds()))
    journal.close()


def add_artifact(folder: Path, file: Path, where: str = "") -> None:
    """Have a file copied to the store that was made when its run had ended.

    Args:
        folder: the run's folder.
        file: what was made.
        where: the folder among the run's artifacts.
    """
    journal = JournalWriter(folder, background=False)
    journal.append(artifact_record(folder, file, where))
    journal.close()


def complete_in_files(folders: Iterable[Path], uri: str | None) -> set[Path]:
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
    with claimed(folder / JOURNAL) as free, Stores() as own:
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
    with claimed(folder / JOURNAL) as free:
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
        cut_torn_tail(folder / JOURNAL)
    try:
        return _deliver(folder, stores.at(uri or own), cursor, root, is_over)
    except DamagedError:
        raise
    except Exception as error:
        kind = StoreAwayError if is_away(error) else StoreError
        raise kind(f"{uri or own}: {error}. Nothing is lost; try again later.") from error


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
