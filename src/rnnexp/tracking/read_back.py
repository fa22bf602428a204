"""Read the record of a run back from its journal."""

from array import array
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from rnnexp.errors import StoreError
from rnnexp.files import JOURNAL
from rnnexp.tracking.files import id_in
from rnnexp.tracking.journal import FIGURES, read_all
from rnnexp.tracking.records import Record


@dataclass(frozen=True)
class Part:
    """What one of the processes that have worked at a run has begun with.

    Args:
        params: its flattened config.
        tags: those of its beginning.
    """

    params: dict[str, str]
    tags: dict[str, str]


@dataclass
class RunRecord:
    """A journal read back.

    Args:
        name: the run's name.
        params: its flattened config.
        tags: all tags, the latest value of each.
        metrics: key to (step, value) pairs in the order they were logged.
        profiles: layer to (step, norm of dL/dh_t over t) pairs; 8 bytes a norm, not the 32 of a
            list.
        status: how it ended; None while it runs, or if it was killed.
        reason: why it did not finish.
        run_id: MLflow's id, once the store has named it.
        parts: one, and one more for each time that the run was resumed.
    """

    name: str = ""
    params: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    metrics: dict[str, list[tuple[int, float]]] = field(
        default_factory=dict[str, list[tuple[int, float]]]
    )
    profiles: dict[str, list[tuple[int, "array[float]"]]] = field(
        default_factory=dict[str, list[tuple[int, "array[float]"]]]
    )
    status: str | None = None
    reason: str | None = None
    run_id: str | None = None
    parts: list[Part] = field(default_factory=list[Part])


def load_run(folder: Path) -> RunRecord:
    """Read the journal of a run.

    Raises:
        StoreError: the folder holds none.
    """
    check_run(folder)
    return replace(_read(folder / JOURNAL), run_id=id_in(folder))


def head_of(folder: Path) -> RunRecord:
    """Read what a journal says beside its figures, which are most of it, and are not parsed.

    Returns:
        A record without metrics and profiles; not to be changed, for the next who asks gets it too.

    Raises:
        StoreError: the folder holds none.
    """
    check_run(folder)
    path = (folder / JOURNAL).resolve()
    now = path.stat()
    return replace(_head(path, now.st_size, now.st_mtime_ns), run_id=id_in(folder))


@lru_cache(maxsize=1)  # a command asks for the same one several times
def _head(path: Path, size: int, time: int) -> RunRecord:
    del size, time  # with others the file is another
    return _read(path, without=FIGURES)


def _read(path: Path, without: tuple[bytes, ...] = ()) -> RunRecord:
    run = RunRecord()
    for record in read_all(path, without):
        if _begins_anew(record):  # another run in the same folder: the earlier one is over
            run = RunRecord()
        _add(run, record)
    return run


def check_run(folder: Path) -> None:
    """Refuse a folder that is not one of a run.

    Raises:
        StoreError: it holds no journal.
    """
    if not (folder / JOURNAL).is_file():
        raise StoreError(f"{folder} is no run: it has no {JOURNAL}.")


def _begins_anew(record: Record) -> bool:
    return record["kind"] == "start" and record["run_id"] is None and not record.get("continues")


def _add(run: RunRecord, record: Record) -> None:
    kind = record["kind"]
    if kind == "start":
        run.status, run.reason = None, None
        run.name, run.params, run.tags = record["name"], record["params"], dict(record["tags"])
        run.parts.append(Part(record["params"], record["tags"]))
    elif kind == "tags":
        run.tags |= record["values"]
    elif kind == "end":
        run.status, run.reason = record["status"], record["reason"]
    elif kind == "metrics":
        for key, value in record["values"].items():
            run.metrics.setdefault(key, []).append((record["step"], value))
    elif kind == "profile":
        for key, norms in record["values"].items():
            run.profiles.setdefault(key, []).append((record["step"], array("d", norms)))
