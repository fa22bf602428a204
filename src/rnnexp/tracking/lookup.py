"""Find runs, and tell what their records begin with."""

from pathlib import Path

from rnnexp.errors import ConfigError
from rnnexp.files import JOURNAL, RUN
from rnnexp.tracking.files import id_in
from rnnexp.tracking.journal import read_from
from rnnexp.tracking.read_back import check_run
from rnnexp.tracking.records import Record
from rnnexp.tracking.walk import files_named

ID_BEGINNING = 4
"""So many characters of a run's id may stand for it; fewer stand for none."""
LATEST = "latest"
"""Stands for the run that has written to its record last."""


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
        files_named(JOURNAL, outputs), key=lambda file: file.stat().st_mtime, reverse=True
    )
    for journal in journals:
        start = _start_of(journal)
        if start and not start.get("compared"):  # or it is that of a sweep
            return journal.parent
    return None


def store_of(folder: Path) -> str | None:
    """Tell which store a run belongs to; None if its journal is empty."""
    start = _start_of(folder / JOURNAL)
    return str(start["uri"]) if start else None


def key_of(folder: Path) -> str | None:
    """Tell by which key the store can find a run; None if it has no record."""
    journal = folder / JOURNAL
    start = _start_of(journal) if journal.is_file() else None
    return str(start["key"]) if start else None


def first_tags_of(folder: Path) -> dict[str, str]:
    """Read the tags that a run has begun with, and no more of its record; none where it is empty.

    Raises:
        StoreError: the folder holds no record.
    """
    check_run(folder)
    start = _start_of(folder / JOURNAL)
    return dict(start["tags"]) if start else {}


def _start_of(journal: Path) -> Record | None:
    return next(iter(read_from(journal, 0, limit=1)[0]), None)
