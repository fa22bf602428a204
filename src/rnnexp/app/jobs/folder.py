"""The jobs of a sweep on disk: one folder per key, and what it tells of the job."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from rnnexp.app.jobs.lease import at_work_in
from rnnexp.errors import RunError
from rnnexp.files import JOURNAL, OUTPUTS, SUMMARY
from rnnexp.tracking.files import damaged, read_json, write_json
from rnnexp.tracking.outcome import Outcome

COMPLETE, FROZEN, STATUS = "COMPLETE", "job.json", "status.json"
PRUNED = "pruned.json"
"""Written by a search that is about to end a job; the job finds it when it is asked to end."""
REMOVED = "its folder was removed or renamed while it ran"
SWEEPS = OUTPUTS / "sweeps"
JOB_KEY = "rnnexp.job_key"
"""The tag of a run that names its job."""
_KINDS = {
    "values": dict,
    "tags": dict,
    "uri": str,
    "parent": (str, NoneType),
    "threads": int,
    "reports": (str, NoneType),
    "taken": (int, NoneType),
}
"""What stands in the file of a job; in older ones not the last two."""
State = Literal["new", "interrupted", "done", "failed", "running", "pruned"]
ENDS: tuple[State, ...] = ("done", "pruned", "failed")
"""States of a job that no command goes on with unless it is asked to."""


@dataclass(frozen=True)
class Frozen:
    """Everything a process needs to run a job.

    Args:
        values: the config.
        tags: what is known of the command.
        uri: the store.
        parent: key of the record of the sweep.
        threads: CPU threads where the config names none.
        reports: the figure that it reports after each validation, to a search; None for none.
        taken: how often the job had been taken when it was frozen, by processes that had let it go.
    """

    values: dict[str, Any]
    tags: dict[str, str]
    uri: str
    parent: str | None
    threads: int
    reports: str | None = None
    taken: int | None = None

    @property
    def key(self) -> str | None:
        """Hash of what the job was when it was frozen; None where it is no job of a sweep."""
        return self.tags.get(JOB_KEY)

    def write(self, folder: Path) -> None:
        """Keep it in the job's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FROZEN, self.__dict__, indent=1)

    @classmethod
    def read(cls, folder: Path) -> "Frozen":
        """Read it back.

        Raises:
            RunError: it is not there any more.
            UserError: it is damaged.
        """
        values = read_json(folder / FROZEN)
        if not values:
            raise RunError(f"{folder / FROZEN} is not there: it was removed while its sweep ran.")
        for name, kind in _KINDS.items():
            if not isinstance(values.get(name), kind):
                raise damaged(folder / FROZEN, f"its {name!r} is {values.get(name)!r:.40}")
        kept: dict[str, Any] = {name: values.get(name) for name in _KINDS}
        return cls(**kept)


def end_since_frozen(folder: Path, token: int) -> State | None:
    """Tell which end a job has that leaves nothing to do for a process that was started for it.

    A queue may begin a job that another process has meanwhile run, from the same `Frozen`.

    Args:
        folder: the job's.
        token: of the lease by which that process has taken it.
    """
    end = end_of(folder)
    taken = read_json(folder / FROZEN, needed=False).get("taken")
    run_since = isinstance(taken, int) and token - 1 > taken
    return end if end == "done" or run_since else None


def end_of(folder: Path) -> State | None:
    """Tell which end a job has come to, whoever is at it now; None if none."""
    if is_done(folder):
        return "done"
    if (folder / PRUNED).is_file():
        return "pruned"
    outcome = outcome_of(folder)
    return "failed" if outcome is not None and outcome.status == "FAILED" else None


def state_of(folder: Path) -> State:
    """Tell how far a job has come."""
    if is_done(folder):
        return "done"
    if at_work_in(folder) is not None:  # before its end, which is written while it is at work
        return "running"
    begun = (folder / JOURNAL).is_file()
    return end_of(folder) or ("interrupted" if begun else "new")


def is_done(folder: Path) -> bool:
    """Tell whether a job is COMPLETE; one whose summary has gone since, or is damaged, is not."""
    try:
        changed = (folder / SUMMARY).stat().st_mtime_ns
    except OSError:
        return False
    return (folder / COMPLETE).is_file() and _is_whole(folder, changed)


@cache
def _is_whole(folder: Path, changed: int) -> bool:
    # Read once: a sweep asks twice a second how far thousands of jobs have come.
    del changed
    return outcome_of(folder) is not None


def counted(states: Mapping[str, State], running: Collection[str], total: int) -> dict[str, int]:
    """Count jobs by what has become of them.

    Args:
        states: how far each has come, by key.
        running: keys of those that count as running, whatever their files say by now.
        total: how many there will be.
    """
    counts = Counter(state for key, state in states.items() if key not in running)
    done, failed = counts["done"], counts["failed"]
    pruned = {"pruned": counts["pruned"]} if counts["pruned"] else {}
    left = total - done - failed - counts["pruned"] - len(running)
    found = {"done": done, **pruned, "running": len(running), "failed": failed}
    return {**found, "left": max(0, left)}


def is_frozen(folder: Path) -> bool:
    """Tell whether a folder is that of a job of a sweep."""
    return (folder / FROZEN).is_file()


def pruned_at(folder: Path) -> str | None:
    """Say why a search has ended a job; None if none has."""
    if not (folder / PRUNED).is_file():
        return None
    values = read_json(folder / PRUNED, needed=False)
    try:
        return f"pruned at step {values['step']}: {values['figure']} {values['value']:.4g}"
    except (KeyError, TypeError, ValueError):
        return f"pruned; {PRUNED}, which said when, is damaged"


def outcome_of(folder: Path) -> Outcome | None:
    """Read how a job ended the last time; None if it never did."""
    try:
        return Outcome.read(folder / SUMMARY)
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return None


def outcomes_of(folders: Iterable[Path]) -> list[Outcome]:
    """Read how those jobs ended that ever did."""
    return [outcome for outcome in map(outcome_of, folders) if outcome]
