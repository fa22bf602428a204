"""``rnnexp sync``: deliver to MLflow what an interrupted run left behind."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rnnexp.app.commands.arguments import parser_of
from rnnexp.app.jobs.store import follow, root_beside
from rnnexp.app.sweep.unwritten import SWEEP_SUMMARY, name_late
from rnnexp.errors import ConfigError, DamagedError, StoreAwayError, StoreError
from rnnexp.files import JOURNAL, OUTPUTS
from rnnexp.tracking import Stores, complete_in_files, files_named, store_of, sync


def main(command: str, arguments: list[str]) -> int:
    """Deliver every run at or below the folders given, ``outputs`` by default."""
    parser = parser_of(command, __doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=[OUTPUTS])
    parser.add_argument("--uri", help="deliver to this store instead of the run's own")
    args = parser.parse_args(arguments)
    found = {file.parent for file in files_named(JOURNAL, *args.folders)}
    # Sweeps come last: their summaries name the runs of their jobs.
    runs = sorted(found, key=lambda folder: ((folder / SWEEP_SUMMARY).is_file(), folder))
    if not runs:
        raise ConfigError(f"No run in {', '.join(map(str, args.folders))}.")
    for uri in _stores_of(runs) if args.uri is None else {args.uri}:
        follow(uri)
    # A summary may have something to add.
    complete = complete_in_files((f for f in runs if not (f / SWEEP_SUMMARY).is_file()), args.uri)
    with Stores() as stores:
        left = _deliver(runs, complete, args.uri, stores)
    if left:
        raise StoreError(
            f"{left} of {len(runs)} runs are not delivered, for the reasons above. "
            "Nothing is lost; try again later."
        )
    return 0


def _stores_of(runs: Sequence[Path]) -> set[str]:
    stores = set[str]()
    for folder in runs:
        with suppress(DamagedError):  # said when it is delivered
            stores.add(store_of(folder) or "")
    return stores


def _deliver(runs: Sequence[Path], complete: set[Path], uri: str | None, stores: Stores) -> int:
    """Deliver runs one after the other, each on a line; return how many were not."""
    left, away = 0, set[str | None]()
    for folder in runs:
        print(f"{folder}: ", end="", flush=True)  # beforehand: a store may take its time
        try:
            done = folder in complete
            print("complete already" if done else _deliver_one(folder, uri, stores, away))
        except StoreError as error:
            print(f"not delivered: {error}")
            left += 1
    return left


def _deliver_one(folder: Path, uri: str | None, stores: Stores, away: set[str | None]) -> str:
    store = uri or store_of(folder)
    if store in away:
        raise StoreError(f"{store} does not answer, see above")
    if uri is None:
        name_late(folder)
    try:
        return sync(folder, uri, root_beside(store) if store else None, stores)
    except StoreAwayError:
        away.add(store)
        raise
