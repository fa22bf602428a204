"""One run: open its record, train, test, and say honestly how it ended."""

import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pytorch_lightning import Callback, Trainer

from rnnexp.app.config.build import Plan, run_name
from rnnexp.app.config.identity import identity, job_key
from rnnexp.app.config.sources import digests, keep_sources, source_tags
from rnnexp.app.jobs.folder import pruned_at
from rnnexp.app.jobs.store import home_of
from rnnexp.app.run.changes import changes_since
from rnnexp.app.run.fit import BEST, Fitted, assemble, test_best, train
from rnnexp.app.run.patience import Patience
from rnnexp.app.run.pictures import draw_run_pictures
from rnnexp.app.run.resume import Origin
from rnnexp.app.run.team import team
from rnnexp.app.run.threads import THREADS_TAG, threads_of
from rnnexp.app.run.traceback_file import TRACEBACK, mark_earlier
from rnnexp.discovery import place_in_plugin
from rnnexp.errors import RnnexpError, describe
from rnnexp.files import CHECKPOINTS, CLIFFS, CONFIG
from rnnexp.monitors.explanation import TEXT as EXPLANATIONS
from rnnexp.monitors.explanation import write_explanations
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.probe import DYNAMICS
from rnnexp.monitors.watch import CliffWatch
from rnnexp.tasks.record import facts_of
from rnnexp.tracking import Journals, RunHeader, RunLog, config_hash, package_list, provenance
from rnnexp.tracking.outcome import Outcome, describe_outcome
from rnnexp.training.best import KeepBest
from rnnexp.training.interrupt import Stopped, StopRequest
from rnnexp.training.resume import ResumePoint

C = TypeVar("C", bound=Callback)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's is not on every machine
_NOT_EXACT = "The run goes on, but not bit for bit."


@dataclass(frozen=True)
class _Run:
    """What the parts of `run` need of it, see there; and how it ends, which they find out."""

    plan: Plan
    folder: Path
    stop: StopRequest
    origin: Origin | None
    alone: bool
    overrides: Sequence[str]
    outcome: Outcome


def run(
    plan: Plan,
    folder: Path,
    tracking: Journals,
    stop: StopRequest,
    patience: Patience | None = None,
    *,
    tags: dict[str, str],
    origin: Origin | None = None,
    parent: str | None = None,
) -> Outcome:
    """Train and test one network, and leave its record.

    Args:
        plan: a checked config.
        folder: the run's own folder.
        tracking: takes the record.
        stop: tells whether a signal has come.
        patience: for the store to name the run; a job of a sweep has none: the next one begins.
        tags: what is known of the command.
        origin: what the run goes on from.
        parent: key of the record of the sweep.

    Returns:
        How it ended; an exception of the run is in it, not raised.

    Raises:
        Stopped: a signal ended it, or what comes after it; checkpoint and record are complete.
    """
    outcome = _unknown(plan, folder)
    overrides = shlex.split(tags.get("rnnexp.overrides", ""))
    this = _Run(plan, folder, stop, origin, parent is None, overrides, outcome)
    log = _begin(this, tracking, _header(plan, folder, origin, tags, parent))
    try:
        _go(this, log)
        with (patience or Patience("", 0.0)).waiting() as seconds:
            outcome.run_id = log.run_id(timeout=seconds)
    except Stopped as error:
        error.too_late = outcome.status == "FINISHED" or (
            outcome.status == "FAILED" and outcome.error is not None
        )
        raise
    outcome.write()
    return outcome


def _unknown(plan: Plan, folder: Path) -> Outcome:
    return Outcome(
        run_name(plan.values),
        str(folder),
        config=flatten(plan.values),
        job=job_key(plan.values),
        sources=digests(plan.values),
    )


def _begin(this: _Run, tracking: Journals, header: RunHeader) -> RunLog:
    outcome, log = this.outcome, None
    try:
        with this.stop.closing():  # a signal amid it would leave a record without an ending
            log = tracking.open_run(this.folder, header)
        return log
    except Stopped as error:
        if log is not None:
            outcome.status, outcome.error = "KILLED", str(error)
            outcome.seconds = log.seconds_before
            with suppress(OSError):  # a full disk: the record has its ending all the same
                mark_earlier(this.folder, this.origin)
            _close(this, log)
        raise


def _go(this: _Run, log: RunLog) -> None:
    folder, outcome, begun = this.folder, this.outcome, time.perf_counter()
    try:
        mark_earlier(folder, this.origin)
        _store_config(this, log)
        keep_sources(this.plan.values, folder, log)
        outcome.metrics = _train(this, log)
        outcome.status = "FINISHED"
    except Stopped as error:
        reason = pruned_at(folder)
        outcome.pruned = reason is not None
        outcome.status, outcome.error = "KILLED", reason or str(error)
        raise
    except (Exception, SystemExit) as error:  # sys.exit in a plugin is no success either
        outcome.error = _with_place(error)
        (folder / TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        outcome.seconds = log.seconds_before + time.perf_counter() - begun
        try:
            _draw(this, log)
        finally:  # whatever ends the drawing, a signal too: the record has its ending
            with this.stop.closing():
                _close(this, log)


def _with_place(error: BaseException) -> str:
    if isinstance(error, RnnexpError):
        return describe(error)
    place = place_in_plugin(error)
    at = f", at {place}" if place else ""
    return f"{describe(error)}{at}; the traceback is in {TRACEBACK} of its folder"


def flatten(values: Any, prefix: str = "") -> dict[str, str]:
    """Flatten a nested config into dotted keys and strings, as MLflow's parameters take it."""
    if not isinstance(values, dict) or not values:
        return {prefix: "null" if values is None else str(values)}
    parts = (flatten(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in values.items())
    return {key: value for part in parts for key, value in part.items()}


def _header(
    plan: Plan,
    folder: Path,
    origin: Origin | None,
    tags: dict[str, str],
    parent: str | None,
) -> RunHeader:
    values = plan.values
    more = {**tags, "rnnexp.config_hash": config_hash(identity(values))}
    continues = origin is not None and origin.is_in(folder)
    experiment = str(values["tracking"]["experiment"])
    if continues and parent is None:  # a job is where its sweep is
        experiment = home_of(folder, str(values["tracking"]["uri"]), experiment)
    if origin is not None:
        more["rnnexp.resumed_from"] = str(origin.checkpoint and origin.checkpoint.resolve())
    if origin is not None and origin.notes:
        more["rnnexp.checkpoint_notes"] = " ".join(origin.notes)
    where = {**provenance(Path.cwd()), THREADS_TAG: str(threads_of(plan, folder))}
    changed = changes_since(origin, {**where, **source_tags(values), **flatten(values)})
    for change in changed:
        print(f"rnnexp: {change} {_NOT_EXACT}", file=sys.stderr)
    if changed:
        more["rnnexp.changed_since_checkpoint"] = " ".join([*changed, _NOT_EXACT])
    return RunHeader(
        name=run_name(values),
        experiment=experiment,
        params=flatten(values),
        tags={**where, **more},
        parent_key=parent,
        run_id=origin.known_id() if origin and not continues else None,
        continues=continues,
    )


def _store_config(this: _Run, log: RunLog) -> None:
    file, values = this.folder / CONFIG, this.plan.values
    file.write_text(yaml.dump(values, Dumper=_DUMPER, sort_keys=False), encoding="utf-8")
    log.artifact(file)
    packages = this.folder / "packages.txt"
    packages.write_text(package_list(), encoding="utf-8")
    log.artifact(packages)


def _train(this: _Run, log: RunLog) -> dict[str, float]:
    plan, folder, outcome = this.plan, this.folder, this.outcome
    checkpoint = this.origin.checkpoint if this.origin else None
    if facts := facts_of(plan.task):  # not in the header: what fails here has a record already
        log.tags(facts)

    def give_up(why: str) -> None:
        outcome.error = why
        _close(this, log)

    with team(plan, folder, checkpoint, give_up) as place:
        fitted = assemble(plan, folder, log, this.stop, place)
        try:
            train(fitted, folder, checkpoint)
            return _test(this, log, fitted)
        except BaseException as error:  # a signal, too: what was watched so far is known
            # One that may go on is to have the record of one that was left alone.
            stopped = isinstance(error, Stopped) and pruned_at(folder) is None
            outcome.metrics = _sum_up(fitted.trainer, None if stopped else log)
            raise


def _test(this: _Run, log: RunLog, fitted: Fitted) -> dict[str, float]:
    folder, trainer = this.folder, fitted.trainer
    at_end = {key: float(value) for key, value in trainer.callback_metrics.items()}
    at_end = {**_callback(trainer, ResumePoint).figures, **at_end}
    at_end |= _callback(trainer, KeepBest).figures
    step = trainer.global_step
    tested = test_best(fitted, folder)
    figures = {key: float(value) for key, value in trainer.callback_metrics.items()}
    log.metrics(figures, step)
    log.artifact(tested, CHECKPOINTS)
    for name, text in this.plan.task.samples(fitted.module.network).items():
        (folder / name).write_text(text, encoding="utf-8")
        log.artifact(folder / name)
    return {**at_end, **figures, **_sum_up(trainer, log)}


def _sum_up(trainer: Trainer, log: RunLog | None) -> dict[str, float]:
    monitor = _callback(trainer, StepMonitor)
    summary = {**monitor.summary(), **_callback(trainer, CliffWatch).summary()}
    new = {key: value for key, value in summary.items() if key not in monitor.news}
    if log is not None:
        log.metrics(new, trainer.global_step)  # the news are on record at this very step
    return summary


def _draw(this: _Run, log: RunLog) -> None:
    wanted = this.plan.values["monitor"]["pictures"]
    if wanted == "never" or (wanted == "auto" and not this.alone):
        return
    log.flush()
    for file in draw_run_pictures(this.folder, this.plan.max_norm):
        log.artifact(file, "pictures")


def _callback(trainer: Trainer, kind: type[C]) -> C:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped in Lightning
    return next(c for c in callbacks if isinstance(c, kind))


def _close(this: _Run, log: RunLog) -> None:
    outcome, folder = this.outcome, this.folder
    note = [describe_outcome(outcome, this.overrides), write_explanations(folder)]
    log.tags({"mlflow.note.content": "\n\n".join(filter(None, note))})
    if outcome.pruned:
        log.tags({"rnnexp.pruned": "true"})
    for name in (CLIFFS, EXPLANATIONS, DYNAMICS, TRACEBACK):
        if (folder / name).is_file():
            log.artifact(folder / name)
    best = folder / CHECKPOINTS / BEST
    if not outcome.well and best.is_file():  # one that has finished has sent what it tested
        log.artifact(best, CHECKPOINTS)
    log.end(outcome.status, outcome.error)
    if log.problem is not None:  # still: what has not been written is lost with this process
        outcome.status = "FAILED"
        outcome.error = outcome.error or f"{log.problem} What was logged last is missing."
    outcome.write()
