"""Run one job of a sweep in this process, from what stands in its folder."""

import os
import sys
from pathlib import Path

import torch

from hydra_plugins.rnnexp_local_launcher._processes import hear_of_ends, tie_to_launcher
from rnnexp.app.config.compose import prepare
from rnnexp.app.config.identity import job_key
from rnnexp.app.config.sources import load_as_recorded
from rnnexp.app.config.validate import validate
from rnnexp.app.jobs.folder import COMPLETE, REMOVED, Frozen, end_since_frozen, outcome_of
from rnnexp.app.jobs.lease import BUSY, Lease, acquire
from rnnexp.app.jobs.store import artifact_root
from rnnexp.app.run.resume import origin_of
from rnnexp.app.run.run import run
from rnnexp.errors import EXIT_FAILED, RnnexpError, RunError
from rnnexp.files import SUMMARY
from rnnexp.tracking import Journals
from rnnexp.tracking.files import write_json
from rnnexp.tracking.outcome import Outcome
from rnnexp.training.interrupt import Stopped, StopRequest

PATIENCE_SECONDS = 30.0
"""How long to wait for a process whose sweep was killed: it is saving its state."""
_CHANGED = (
    "a file that its options or `resume` name has changed since the sweep began, so that it is "
    "another job now. The sweep's command, started again, runs it as that."
)


def run_folder(
    folder: Path,
    stop: StopRequest | None = None,
    patience: float = PATIENCE_SECONDS,
    tracking: Journals | None = None,
) -> int:
    """Run the job of a folder, unless another process does; go on where it was left.

    Args:
        folder: holds the frozen config; becomes that of the run.
        stop: hears signals in the process of the sweep, which is told of everything by what is
            raised; None in a process of the job's own.
        patience: seconds to wait for a process that holds the job.
        tracking: takes the record; None where the process of the sweep forwards it.

    Returns:
        0, 1 if the run failed, 75 if another process has it, 129, 130 or 143 after a signal.

    Raises:
        Stopped, RnnexpError: in the process of the sweep.
    """
    lease = acquire(folder, patience)
    if lease is None:
        return BUSY
    end = end_since_frozen(folder, lease.token)
    if end is not None:
        lease.release()
        return EXIT_FAILED if end == "failed" else 0
    for name in (COMPLETE, SUMMARY):  # of an attempt before this one
        (folder / name).unlink(missing_ok=True)
    if stop is not None:
        with lease.beating():
            return _run_marked(folder, stop, lease, tracking)
    own = StopRequest()
    try:
        with own.listening(), lease.beating():
            return _run_marked(folder, own, lease)
    except Stopped as error:
        return error.exit_code
    except RnnexpError as error:
        print(f"rnnexp: {error}", file=sys.stderr)
        return EXIT_FAILED


def _run_marked(
    folder: Path, stop: StopRequest, lease: Lease, tracking: Journals | None = None
) -> int:
    try:
        return finish(_run(folder, stop, tracking), lease)
    except Stopped as error:
        outcome = outcome_of(folder) if error.too_late else None
        if outcome is not None:
            finish(outcome, lease)
        raise


def finish(outcome: Outcome, lease: Lease) -> int:
    """Mark a finished job COMPLETE, unless it was taken over meanwhile."""
    if outcome.status != "FINISHED":
        print(f"rnnexp: {outcome.how}", file=sys.stderr)
        return EXIT_FAILED
    if lease.is_removed():
        print(f"rnnexp: {lease.folder}: {REMOVED}; its result is lost with it", file=sys.stderr)
        return EXIT_FAILED
    if not lease.is_mine():
        words = "another process has taken this job over; its result counts"
        print(f"rnnexp: {words}", file=sys.stderr)
        return BUSY
    write_json(lease.folder / COMPLETE, {"token": lease.token})
    return 0


def _run(folder: Path, stop: StopRequest, tracking: Journals | None) -> Outcome:
    frozen = Frozen.read(folder)
    plan = validate(frozen.values)
    torch.set_num_threads(frozen.threads)  # a number in the config is set later, and wins
    if frozen.key not in (None, job_key(plan.values)):
        raise RunError(_CHANGED)
    origin = origin_of(frozen.values["resume"], folder, own=True)
    journals = tracking or Journals(frozen.uri, artifact_root(frozen.uri))
    return run(plan, folder, journals, stop, tags=frozen.tags, origin=origin, parent=frozen.parent)


def main(folder: str, patience: float = PATIENCE_SECONDS) -> int:
    """Run a job in a process that was started for it."""
    tie_to_launcher()
    hear_of_ends()  # Ray and a queue start this in processes of theirs
    frozen = Frozen.read(Path(folder))
    prepare([f"plugin_dirs={frozen.values['plugin_dirs']}"])
    # A file that was edited since the sweep began holds another plugin than the job's key names.
    for note in load_as_recorded(Path(folder), frozen.values):
        print(f"rnnexp: {note}", file=sys.stderr)
    return run_folder(Path(folder), patience=patience)


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of libraries must not hold up the next job
