"""Find finished runs by their ``summary.json``."""

from pathlib import Path

from rnnexp.errors import UserError
from rnnexp.files import DEFINITION, JOURNAL, SUMMARY
from rnnexp.tracking.outcome import Outcome
from rnnexp.tracking.walk import files_named


def load_summaries(*roots: Path) -> list[Outcome]:
    """Load every run at or below some folders once, the oldest of each folder first.

    Raises:
        UserError: a ``summary.json`` cannot be read.
    """
    found: dict[Path, Path] = {}
    for root in roots:
        for file in sorted(files_named(SUMMARY, root), key=lambda file: file.stat().st_mtime):
            found.setdefault(file.resolve(), file)
    return [_load(file) for file in found.values()]


def runs_without_end(*roots: Path) -> list[Path]:
    """List the folders of the runs that have a record, and no ``summary.json`` yet."""
    records = sorted(set(files_named(JOURNAL, *roots)))
    ends = (SUMMARY, DEFINITION)  # a sweep has a record of its own, and is no run
    return [f.parent for f in records if not any((f.parent / end).exists() for end in ends)]


def _load(file: Path) -> Outcome:
    try:
        return Outcome.read(file)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is no summary of a run: {error}. Remove it, or name other folders."
        ) from error
