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
    known = read_json(folder / DEFINITION)
    return [folder / str(key) for key in (*known.get("earlier", ()), *known.get("jobs", ()))]


def begun_in(folder: Path) -> list[Path]:
    """List the folders of the jobs that have begun: what was given up before leaves no trace.

    Args:
        folder: the sweep's.
    """
    return [job for job in folders_in(folder) if state_of(job) != "new"]
