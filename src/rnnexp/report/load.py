"""Find finished runs by their ``summary.json``."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

from rnnexp.errors import UserError
from rnnexp.tracking.files import RUN, read_json


@dataclass
class Summary:
    """What ``summary.json`` holds; see `rnnexp.app.jobs.outcome.Outcome`."""

    name: str
    folder: str
    status: str
    config: dict[str, str]
    metrics: dict[str, float]
    seconds: float
    run_id: str | None
    error: str | None
    pruned: bool = False
    job: str | None = None
    sources: dict[str, str] = field(default_factory=dict[str, str])


def load_summaries(*roots: Path) -> list[Summary]:
    """Load every run at or below some folders once, the oldest of each folder first.

    Raises:
        UserError: a ``summary.json`` cannot be read.
    """
    found: dict[Path, Path] = {}
    for root in roots:
        for file in sorted(root.rglob("summary.json"), key=lambda file: file.stat().st_mtime):
            found.setdefault(file.resolve(), file)
    return [_load(file) for file in found.values()]


def runs_without_end(*roots: Path) -> list[Path]:
    """List the folders of the runs that have a record, and no ``summary.json`` yet."""
    records = sorted({file for root in roots for file in root.rglob("journal.jsonl")})
    ends = ("summary.json", "sweep.json")  # a sweep has a record of its own, and is no run
    return [f.parent for f in records if not any((f.parent / end).exists() for end in ends)]


def _load(file: Path) -> Summary:
    known = {field.name for field in fields(Summary)}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        summary = Summary(**{key: value for key, value in values.items() if key in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is no summary of a run: {error}. Remove it, or name other folders."
        ) from error
    summary.folder = str(file.parent)  # the folder may have been moved
    if summary.run_id is None:  # a job of a sweep does not wait for the store's answer
        summary.run_id = read_json(file.parent / RUN).get("run_id")
    return summary
