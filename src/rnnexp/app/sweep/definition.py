"""The file that says what a sweep is, for whoever asks for it by name."""

from pathlib import Path

from rnnexp.app.jobs.folder import state_of
from rnnexp.tracking.files import read_json

DEFINITION = "sweep.json"


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a sweep's jobs: of those only earlier commands asked for, then the rest.

    Args:
        folder: the sweep's.
    """
    return [*earlier_in(folder), *_listed(folder, "jobs")]


def earlier_in(folder: Path) -> list[Path]:
    """List the folders of the jobs that only earlier commands asked for.

    Args:
        folder: the sweep's.
    """
    return _listed(folder, "earlier")


def _listed(folder: Path, name: str) -> list[Path]:
    return [folder / str(key) for key in read_json(folder / DEFINITION).get(name, ())]


def begun_in(folder: Path) -> list[Path]:
    """List the folders of the jobs that have begun: what was given up before leaves no trace.

    Args:
        folder: the sweep's.
    """
    return [job for job in folders_in(folder) if state_of(job) != "new"]
