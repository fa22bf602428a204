"""``rnnexp rerun``: run a recorded run again, from config, plugin sources and seed."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rnnexp.app.commands.arguments import parser_of
from rnnexp.app.config.build import Plan, run_name
from rnnexp.app.config.sources import recorded
from rnnexp.app.config.validate import validate
from rnnexp.app.jobs.folder import outcome_of
from rnnexp.app.jobs.lease import Lease, acquire
from rnnexp.app.jobs.store import artifact_root, follow
from rnnexp.app.run.alone import check_started_once
from rnnexp.app.run.patience import Patience
from rnnexp.app.run.remade import first_weights
from rnnexp.app.run.resume import RERUN_OF, WHICH, origin_of, run_folder
from rnnexp.app.run.run import run
from rnnexp.app.run.stopped import after_end, deliver_rest
from rnnexp.app.run.threads import THREADS_TAG, take_threads_of
from rnnexp.files import JOURNAL, OUTPUTS
from rnnexp.report.table import summary_line
from rnnexp.tracking import RunRecord, Tracking, check_store, head_of, load_run
from rnnexp.tracking.files import id_in
from rnnexp.training.interrupt import Stopped, StopRequest

Figures = dict[tuple[str, int], float]
_MARK = "-rerun-"


def main(command: str, arguments: list[str]) -> int:
    """Run it again as a run of its own, and say whether the figures are the same.

    One that was stopped goes on by the same command.
    """
    parser = parser_of(command, __doc__)
    parser.add_argument("run", help=WHICH)
    args = parser.parse_args(arguments)
    old = run_folder(args.run)
    plan = recorded_plan(old)
    check_started_once([plan])
    uri = str(plan.values["tracking"]["uri"])
    check_store(uri, str(plan.values["tracking"]["experiment"]), artifact_root(uri))
    take_threads_of(old, plan)
    begun = first_weights(old)
    names = _names(old)
    lease = left_behind(names) or _begun(plan)
    folder = lease.folder
    origin = origin_of(begun and str(begun), folder, own=True)
    follow(uri)
    tracking, stop = Tracking(uri, artifact_root(uri)), StopRequest()
    tags = {RERUN_OF: names[0]}
    wait = float(plan.values["tracking"]["wait"])
    patience = Patience(uri, wait, lambda: tracking.problem)
    try:
        with stop.listening(), _delivering(tracking, stop, patience), lease.beating():
            outcome = run(plan, folder, tracking, stop, patience, tags=tags, origin=origin)
    except Stopped as error:
        again = f"go on: the same command again ({folder})"
        said = again if _was_stopped(folder) else after_end(folder)
        print(f"rnnexp: {error}; {said}", file=sys.stderr)
        return error.exit_code
    print(summary_line(outcome, "rnnexp ui"))
    print(compared(load_run(old), load_run(folder)))
    return int(outcome.status != "FINISHED")


@contextmanager
def _delivering(tracking: Tracking, stop: StopRequest, patience: Patience) -> Generator[None]:
    try:
        yield
    finally:
        stop.can_wait = False  # nothing is computed any more
        deliver_rest(tracking, patience)


def recorded_plan(folder: Path) -> Plan:
    """Make the plan of a recorded run, with its plugins as they were."""
    values, notes = recorded(folder)
    for note in notes:
        print(f"rnnexp: {note}", file=sys.stderr)
    values["resume"] = None
    return validate(values)


def compared(old: RunRecord, new: RunRecord) -> str:
    """Say in words whether two runs of one config have the same figures at the same steps."""
    before, after = _figures(old), _figures(new)
    if not before:
        return "It had recorded no figure to compare with."
    common = before.keys() & after.keys()
    if not common:
        return f"It made none of the {len(before)} figures again that were recorded before."
    other = sorted((step, key) for key, step in common if _differ(before, after, (key, step)))
    if not other:
        return f"The same figures as before, to the last bit: {len(common)} of {len(before)}."
    step, key = other[0]
    return (
        f"{len(other)} of {len(common)} figures differ, the first at step {step}: {key} was "
        f"{before[key, step]!r}, is {after[key, step]!r}.{_versions(old, new)}"
    )


_ITS_OWN = ("time/", "grad/raw_norm_max")
"""Figures that a rerun need not have: of speed; and the largest norms of windows, whose length was
chosen by the steps that the run was to make when it began, not when it went on."""


def _figures(record: RunRecord) -> Figures:
    return {
        (key, step): value
        for key, series in record.metrics.items()
        for step, value in series
        if not key.startswith(_ITS_OWN)
    }


def _differ(before: Figures, after: Figures, at: tuple[str, int]) -> bool:
    # NaN is the same as NaN here.
    return repr(before[at]) != repr(after[at])


def _versions(old: RunRecord, new: RunRecord) -> str:
    changed = [
        f"{tag.partition('.')[2]} {old.tags[tag]} then, {new.tags.get(tag)} now"
        for tag in sorted(old.tags)
        if tag.startswith(("version.", THREADS_TAG)) and old.tags[tag] != new.tags.get(tag)
    ]
    return f" Versions: {'; '.join(changed)}." if changed else ""


def _names(run: Path) -> list[str]:
    # The store may have named the run since a rerun of it was begun.
    run_id = id_in(run)
    return [*([run_id] if run_id else []), str(run.resolve())]


def left_behind(names: list[str]) -> Lease | None:
    """Take the newest rerun of a run that was stopped or killed; None where there is none."""
    journals = OUTPUTS.glob(f"*/*{_MARK}*/{JOURNAL}")
    for journal in sorted(journals, key=lambda file: file.stat().st_mtime, reverse=True):
        folder = journal.parent
        if not _was_stopped(folder) or head_of(folder).tags.get(RERUN_OF) not in names:
            continue
        lease = acquire(folder)
        if lease is not None and _was_stopped(folder):  # still: another may have gone on meanwhile
            print(f"rnnexp: going on with {folder}", file=sys.stderr)
            return lease
        if lease is not None:
            lease.release()
    return None


def _was_stopped(folder: Path) -> bool:
    outcome = outcome_of(folder)
    return outcome is None or outcome.status == "KILLED"


def _begun(plan: Plan) -> Lease:
    stamp = time.strftime("%Y-%m-%d/%H%M%S")
    name = f"{stamp}{_MARK}{run_name(plan.values)}-{time.time_ns() % 0xFFFF:04x}"
    lease = acquire(OUTPUTS / name)
    assert lease is not None  # nobody knows of the folder yet
    return lease
