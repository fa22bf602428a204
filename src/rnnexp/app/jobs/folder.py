"""The jobs of a sweep on disk: one folder per key, and what it tells of the job."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rnnexp.app.jobs.lease import holder_of
from rnnexp.app.jobs.outcome import FILE as SUMMARY
from rnnexp.app.jobs.outcome import Outcome
from rnnexp.tracking import config_hash
from rnnexp.tracking.files import read_json, write_json

COMPLETE, FROZEN, STATUS, LOG = "COMPLETE", "job.json", "status.json", "log.txt"
PRUNED = "pruned.json"
"""Written by a search that is about to end a job; the job finds it when it is asked to end."""
SWEEPS = Path("outputs", "sweeps")
LOG_BYTES = 32 << 20
"""How much of what a job prints is kept."""
State = Literal["new", "interrupted", "done", "failed", "running", "pruned"]


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
    """

    values: dict[str, Any]
    tags: dict[str, str]
    uri: str
    parent: str | None
    threads: int
    reports: str | None = None

    def write(self, folder: Path) -> None:
        """Keep it in the job's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FROZEN, self.__dict__, indent=1)

    @classmethod
    def read(cls, folder: Path) -> "Frozen":
        """Read it back."""
        return cls(**read_json(folder / FROZEN))


def state_of(folder: Path) -> State:
    """Tell how far a job has come."""
    if (folder / COMPLETE).is_file():
        return "done"
    holder = holder_of(folder)
    if holder is not None and holder.alive:
        return "running"
    if (folder / PRUNED).is_file():
        return "pruned"
    outcome = outcome_of(folder)
    if outcome is not None and outcome.status == "FAILED":
        return "failed"
    return "interrupted" if (folder / "journal.jsonl").is_file() else "new"


def is_frozen(folder: Path) -> bool:
    """Tell whether a folder is that of a job of a sweep."""
    return (folder / FROZEN).is_file()


def pruned_at(folder: Path) -> str | None:
    """Say why a search has ended a job; None if none has."""
    values = read_json(folder / PRUNED)
    if not values:
        return None
    return f"pruned at step {values['step']}: {values['figure']} {values['value']:.4g}"


def outcome_of(folder: Path) -> Outcome | None:
    """Read how a job ended the last time; None if it never did."""
    try:
        values = read_json(folder / SUMMARY)
        return Outcome(**values) if values else None
    except (json.JSONDecodeError, TypeError):
        return None


def artifact_root(uri: str) -> Path | None:
    """Keep artifacts beside a local store; a server knows its own place."""
    return Path("outputs", "mlflow").resolve() if uri.startswith("sqlite:") else None


def log_tail(folder: Path, lines: int = 20) -> str:
    """Return the last lines that a job printed."""
    path = folder / LOG
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


def cap_log(folder: Path, limit: int = LOG_BYTES) -> None:
    """Cut the middle out of a log that is too long; the job goes on writing at its end.

    Args:
        folder: the job's.
        limit: bytes; a half from the beginning stays, and a quarter from the end.
    """
    path = folder / LOG
    with suppress(FileNotFoundError), path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= limit:
            return
        file.seek(size - limit // 4)
        end = file.read(limit // 4)
        # The job appends: what it writes from here on comes behind the cut.
        file.truncate(limit // 2)
        left_out = size - limit // 2 - len(end)
        with path.open("ab") as job:
            job.write(f"\n[{left_out} bytes are left out here]\n".encode() + end)


def default_name(overrides: Sequence[str]) -> str:
    """Name a sweep by what is fixed and which keys vary: with more values it stays the same one."""
    fixed: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        if not key.lstrip("+~").startswith(("hydra", "sweep.", "tracking.", "trainer.progress")):
            fixed.append(key if _varies(value) else override)
    return f"sweep-{config_hash({'overrides': sorted(fixed)})[:8]}"


def _varies(value: str) -> bool:
    return value.startswith(("range(", "choice(", "glob(", "interval(")) or (
        "," in value and not value.startswith(("[", "{", "'", '"'))
    )
