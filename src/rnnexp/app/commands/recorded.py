"""What the commands on a recorded run share: to find it and its step, to keep what they make."""

import math
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from rnnexp.app.commands.arguments import parser_of
from rnnexp.app.jobs.store import follow, root_beside
from rnnexp.app.run.resume import WHICH, run_folder
from rnnexp.errors import ConfigError, StoreError
from rnnexp.monitors.events import CliffEvent, load_events
from rnnexp.tracking import add_artifacts, store_of


def asked_for(
    command: str, arguments: list[str], doc: str | None, nonfinite: float = math.inf
) -> tuple[Path, int]:
    """Read a command line of a run and a step; the run's largest cliff is the default.

    Args:
        command: how it was called.
        arguments: of it.
        doc: what its help says first.
        nonfinite: what the norm of a NaN or infinite loss or gradient counts as.

    Raises:
        ConfigError: there is no such run, or no step is named and no cliff recorded.
    """
    parser = parser_of(command, doc)
    parser.add_argument("run", help=WHICH)
    parser.add_argument("step", type=int, nargs="?", help="default: the run's largest cliff")
    args = parser.parse_args(arguments)
    folder = run_folder(args.run)
    if args.step is not None:
        return folder, args.step
    events = load_events(folder)
    if not events:
        raise ConfigError(f"{folder} has no recorded cliff. Name a step.")
    return folder, max(events, key=lambda event: _size(event, nonfinite)).step


def _size(event: CliffEvent, nonfinite: float) -> float:
    # max() would take any of several events where one norm is NaN.
    return event.raw_norm if event.kind == "spike" else nonfinite


def keep(folder: Path, files: Iterable[Path]) -> None:
    """Say which files were made of a run, and put them beside its other pictures in the store."""
    files = list(files)
    for file in files:
        print(f"Made: {file}")
    try:
        print(f"In the record of the run: {_added(folder, files)}")
    except StoreError as error:
        sync = f"rnnexp sync {shlex.quote(str(folder))}"
        print(f"rnnexp: not in the store yet: {error} {sync}", file=sys.stderr)


def _added(folder: Path, files: Iterable[Path]) -> str:
    uri = store_of(folder)
    if uri is None:
        return add_artifacts(folder, files, "pictures")
    follow(uri)
    return add_artifacts(folder, files, "pictures", root_beside(uri))
