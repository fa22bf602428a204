"""What the disk has not taken when a sweep wrote it, or the store had not named by then."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rnnexp.app.jobs.lease import at_work_in
from rnnexp.tracking import add_artifact
from rnnexp.tracking.files import id_in, write_json
from rnnexp.tracking.outcome import Outcome

SWEEP_SUMMARY = "sweep_summary.json"
_PATIENCE_SECONDS = 10.0


class Unwritten:
    """How jobs have ended whose ``summary.json`` is still to be written."""

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []

    def take(self, outcome: Outcome) -> None:
        """Write how a job has ended, or keep it until the disk has room.

        The first that the disk refuses is waited for: the next job would fail in the same way.
        """
        until = time.monotonic() + (0.0 if self._outcomes else _PATIENCE_SECONDS)
        self._outcomes.append(outcome)
        error = self.write()
        if error is not None:
            outcome.error = f"{outcome.error}; its folder cannot be written: {_reason(error)}"
        while self.write() is not None and time.monotonic() < until:
            time.sleep(_PATIENCE_SECONDS / 50)

    def write(self) -> OSError | None:
        """Write what is left.

        Returns:
            What the disk has refused it with; None where nothing is left.
        """
        while self._outcomes:
            try:
                self._outcomes[0].write()
            except OSError as error:
                return error
            del self._outcomes[0]
        return None

    def close(self) -> None:
        """Write what is left for the last time; say where that cannot be."""
        error = self.write()
        if error is not None:
            folders = ", ".join(outcome.folder for outcome in self._outcomes)
            words = f"how it has ended cannot be written: {_reason(error)}. The same command again"
            print(f"rnnexp: {folders}: {words} goes on with it.", file=sys.stderr)
        self._outcomes.clear()


def write_summary(folder: Path, outcomes: Sequence[Outcome]) -> Path | None:
    """Write how all jobs of a sweep have ended; say where that cannot be.

    Args:
        folder: the sweep's.
        outcomes: of the jobs.

    Returns:
        The file; None if it could not be written.
    """
    file = folder / SWEEP_SUMMARY
    try:
        write_json(file, _packed(outcomes), indent=1)
    except OSError as error:
        words = f"cannot be written: {_reason(error)}. The same command again writes it."
        print(f"rnnexp: {file}: {words}", file=sys.stderr)
        return None
    return file


def name_late(folder: Path) -> None:
    """Put the ids into the summary of a sweep that its store has given since that was written.

    Args:
        folder: the sweep's; of any other run nothing is written.
    """
    summary = _summary_in(folder)
    kept = summary["jobs"]
    # By its name: a folder may have been moved, and a config that was refused has none.
    ids = [id_in(folder / Path(outcome["folder"]).name) or outcome["run_id"] for outcome in kept]
    if ids == [outcome["run_id"] for outcome in kept] or at_work_in(folder) is not None:
        return
    named = [{**outcome, "run_id": run_id} for outcome, run_id in zip(kept, ids, strict=True)]
    write_json(folder / SWEEP_SUMMARY, {**summary, "jobs": named}, indent=1)
    add_artifact(folder, folder / SWEEP_SUMMARY)


def _packed(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    # A config has a hundred values, of which a sweep varies a few.
    first, *others = [o.config for o in outcomes if o.config] or [{}]
    shared = {k: v for k, v in first.items() if all(c.get(k) == v for c in others)}
    own = ({k: v for k, v in o.config.items() if k not in shared} for o in outcomes)
    jobs = [{**o.__dict__, "config": config} for o, config in zip(outcomes, own, strict=True)]
    return {"shared": shared, "jobs": jobs}


def _summary_in(folder: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError, ValueError):  # the sweep's next command writes it anew
        kept = json.loads((folder / SWEEP_SUMMARY).read_text(encoding="utf-8"))
        return {"jobs": kept} if isinstance(kept, list) else kept  # a list in older sweeps
    return {"jobs": []}


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
