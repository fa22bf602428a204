"""What has become of a job whose process has ended, in whatever way."""

import shutil
from collections.abc import Callable
from pathlib import Path

from hydra_plugins.rnnexp_local_launcher._pool import STOPPED
from rnnexp.app.jobs.folder import COMPLETE, Frozen, is_frozen, outcome_of, pruned_at
from rnnexp.app.jobs.log import LOG, log_tail
from rnnexp.app.run.run import flatten
from rnnexp.app.sweep.items import Item
from rnnexp.errors import EXIT_FAILED
from rnnexp.files import JOURNAL
from rnnexp.tracking import RunHeader, RunLog, Tracking, close_journal, provenance
from rnnexp.tracking.outcome import Outcome

_NOT_SENT = ", which its sweep has not sent; `rnnexp sweep retry` goes on with it"


def judge(
    item: Item,
    how: str,
    code: int | None,
    open_record: Callable[[], RunLog],
    write: Callable[[Outcome], None],
    *,
    timed_out: bool = False,
    stopped: bool = False,
) -> Outcome:
    """Say how a job has ended, also where its process could not.

    Args:
        item: the job.
        how: how its process ended, in words.
        code: its exit code; None where a signal ended it.
        open_record: opens the job's record, where its process has not come so far.
        write: takes what this finds out.
        timed_out: whether it was ended for its time.
        stopped: whether its sweep has ended it, or a cluster that wanted the machine, so that it
            goes on next time; any other signal is a failure: of memory, a library, a stranger.
    """
    outcome = outcome_of(item.folder)
    if (item.folder / COMPLETE).is_file() or (outcome and _holds(outcome, timed_out, stopped)):
        return outcome or item.outcome
    outcome = outcome or Outcome(item.name, str(item.folder), job=item.key)
    outcome.config = flatten(item.job.plan.values)
    outcome.status = "KILLED" if stopped else "FAILED"
    if code in STOPPED and not (stopped or timed_out):
        outcome.error = f"{outcome.error or how}{_NOT_SENT}"
    else:
        outcome.error = how if timed_out or code is None else _early(item.folder, how, code)
    reason = pruned_at(item.folder)
    if reason is not None:
        outcome.pruned, outcome.status, outcome.error = True, "KILLED", reason
    _end_record(item, outcome, stopped, open_record)
    write(outcome)
    return outcome


def was_removed(folder: Path) -> bool:
    """Tell whether the folder of a job has gone while it ran, and clear what was saved there after.

    A retry would go on from it, without a record of what came before.

    Args:
        folder: the job's, whose process has ended.
    """
    if is_frozen(folder) or any((folder / name).is_file() for name in (JOURNAL, COMPLETE)):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def open_record(item: Item, experiment: str, tracking: Tracking) -> RunLog:
    """Open the record of a job as its own process does.

    Args:
        item: the job, frozen.
        experiment: where its record goes.
        tracking: takes it.
    """
    frozen = Frozen.read(item.folder)
    tags = {**provenance(Path.cwd()), **frozen.tags}
    params = flatten(item.job.plan.values)
    header = RunHeader(item.name, experiment, params, tags, parent_key=frozen.parent)
    return tracking.open_run(item.folder, header, background=False)


def _holds(outcome: Outcome, timed_out: bool, stopped: bool) -> bool:
    """Whether what the job has written of its end is so: it takes every signal for a meant one."""
    told = outcome.error is not None and not timed_out
    return told and (stopped or outcome.pruned or outcome.status != "KILLED")


def _early(folder: Path, how: str, code: int) -> str:
    # An error that nothing could write down yet is what the process said last.
    said = log_tail(folder, 1).removeprefix("rnnexp: ") if code == EXIT_FAILED else ""
    return ": ".join(filter(None, (f"its process ended early, {how}", said)))


def _end_record(
    item: Item, outcome: Outcome, stopped: bool, open_record: Callable[[], RunLog]
) -> None:
    reason = f"{outcome.error}\n{log_tail(item.folder, 3)}".strip()
    log = item.folder / LOG
    if (item.folder / JOURNAL).is_file():
        close_journal(item.folder, outcome.status, reason, log)
    elif stopped:
        outcome.error = "it was asked to end before it began"
    else:  # a process that died before it opened its record
        record = open_record()
        if log.is_file():
            record.artifact(log)
        record.end(outcome.status, reason)
