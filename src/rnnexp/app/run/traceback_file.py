"""The traceback that a failed run leaves in its folder, and what becomes of it later."""

from pathlib import Path

from rnnexp.app.run.resume import Origin

TRACEBACK = "error.txt"
_SINCE = "An earlier attempt at this run failed as follows. The run has gone on since.\n\n"


def mark_earlier(folder: Path, origin: Origin | None) -> None:
    """Say in the traceback of an earlier attempt that the run goes on; remove another run's.

    It keeps its name: so it takes the place of the one that the store has already.

    Args:
        folder: the run's.
        origin: what it goes on from.
    """
    where = origin.folder if origin is not None else None
    if where is None or not (where / TRACEBACK).is_file():
        (folder / TRACEBACK).unlink(missing_ok=True)
        return
    earlier = (where / TRACEBACK).read_text(encoding="utf-8").removeprefix(_SINCE)
    (folder / TRACEBACK).write_text(_SINCE + earlier, encoding="utf-8")
