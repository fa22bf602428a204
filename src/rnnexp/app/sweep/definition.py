"""What a sweep is called, and the file that says what it is for whoever asks for it by name."""

from collections.abc import Sequence
from pathlib import Path

from rnnexp.app.jobs.folder import SWEEPS, state_of
from rnnexp.files import DEFINITION
from rnnexp.tracking import config_hash
from rnnexp.tracking.files import read_json


def default_name(overrides: Sequence[str]) -> str:
    """Name a sweep by what is fixed and which keys vary: with more values it stays the same one.

    The name begins with that of the experiment; where a folder without it is there, that is gone
    on with.
    """
    fixed: list[str] = []
    experiment = "sweep"
    for override in overrides:
        key, _, value = override.partition("=")
        if not key.lstrip("+~").startswith(("hydra", "sweep.", "tracking.", "trainer.progress")):
            fixed.append(key if _varies(value) else override)
        if key.lstrip("+") == "experiment" and value.isidentifier():
            experiment = value
    digits = config_hash({"overrides": sorted(fixed)})[:8]
    plain = f"sweep-{digits}"
    return plain if (SWEEPS / plain).is_dir() else f"{experiment}-{digits}"


def _varies(value: str) -> bool:
    return value.startswith(("range(", "choice(", "glob(", "interval(")) or (
        "," in value and not value.startswith(("[", "{", "'", '"'))
    )


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
