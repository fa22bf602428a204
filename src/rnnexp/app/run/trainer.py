"""Lightning's Trainer, and the callbacks around it, from a plan."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from rnnexp.app.config.build import Plan, Values, run_name
from rnnexp.app.config.figures import selected_by
from rnnexp.app.jobs.folder import STATUS, Frozen, is_frozen
from rnnexp.app.run.callbacks import (
    BackendTags,
    CountAnew,
    KeepBeforeCliff,
    Reports,
    StatusFile,
)
from rnnexp.app.run.progress import RunProgress
from rnnexp.files import CHECKPOINTS
from rnnexp.monitors.cliffs import CliffOptions
from rnnexp.monitors.cliffs_by_window import WindowedDetector
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.monitors.probe import DynamicsProbe
from rnnexp.monitors.watch import CliffWatch, WatchOptions
from rnnexp.monitors.weights import WeightPath
from rnnexp.options import arguments_of
from rnnexp.registry import REGISTRY
from rnnexp.tracking import RunLog
from rnnexp.tracking.logger import JournalLogger
from rnnexp.training.best import KeepBest
from rnnexp.training.checkpoints import LAST, SafeCheckpointIO
from rnnexp.training.early_stop import EarlyStopping
from rnnexp.training.hooks import NoProfiler, drop_empty_hooks
from rnnexp.training.interrupt import StopOnFullDisk, StopOnSignal, StopRequest
from rnnexp.training.regularise import OmegaRegulariser, OmegaTerm
from rnnexp.training.resume import RecordFirst, ResumePoint
from rnnexp.training.team import (
    ALONE,
    FIND_UNUSED,
    OwnDraws,
    Place,
    PlacedEnvironment,
    TeamStrategy,
)
from rnnexp.training.validations import ValidateBetweenSteps, ValidateFirst, ValidateLast

CHART_POINTS = 300
"""MLflow's charts show 320 points of a series: a cliff must stand in one that has fewer."""


def make_trainer(
    plan: Plan, folder: Path, log: RunLog | None, stop: StopRequest, place: Place = ALONE
) -> Trainer:
    """Make the Trainer of one run.

    Clipping is Lightning's own: ``gradient_clip_val`` and ``gradient_clip_algorithm``.

    Args:
        plan: a checked config.
        folder: the run's.
        log: the run's record; None in a process that does not lead.
        stop: tells whether a signal has come.
        place: of this process.
    """
    quiet()
    options = plan.values["trainer"]
    trainer = Trainer(
        max_steps=options["max_steps"],
        max_epochs=options["max_epochs"] or -1,
        val_check_interval=options["val_every"],
        check_val_every_n_epoch=None,
        accelerator=options["accelerator"],
        devices=place.size,
        strategy=_strategy(options["strategy"], place),
        use_distributed_sampler=False,
        precision=options["precision"],
        accumulate_grad_batches=options["accumulate"],
        deterministic=options["deterministic"],
        logger=JournalLogger(log) if log is not None else False,
        log_every_n_steps=1,
        callbacks=_callbacks(plan, folder, log, stop, place),
        plugins=[SafeCheckpointIO(), PlacedEnvironment(place)],
        default_root_dir=folder,
        profiler=NoProfiler(),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **_clipping(plan.values["clip"]),
    )
    drop_empty_hooks(trainer.callbacks)  # type: ignore[attr-defined]  # untyped in Lightning
    return trainer


def _clipping(clip: dict[str, Any]) -> dict[str, Any]:
    if clip["by"] == "none":
        return {}
    threshold = clip["max_norm"] if clip["by"] == "norm" else clip["max_value"]
    return {"gradient_clip_val": threshold, "gradient_clip_algorithm": clip["by"]}


def _strategy(name: str, place: Place) -> Any:
    if place.size == 1:
        return "auto" if name.startswith("ddp") else name  # nobody to share the work with
    return TeamStrategy(place, find_unused_parameters=name == FIND_UNUSED)


def _callbacks(
    plan: Plan, folder: Path, log: RunLog | None, stop: StopRequest, place: Place
) -> list[Callback]:
    monitor = StepMonitor(_guard(plan.values))
    point = ResumePoint(folder / CHECKPOINTS / LAST, _limits(plan.values), plan.values["resume"])
    stops = plan.values["tracking"]["disk_full"] == "stop"
    disk = StopOnFullDisk(lambda: log.problem if log else None, point if stops else None)
    # The first three look at the state between two batches: before any other touches the next one.
    callbacks: list[Callback] = [StopOnSignal(stop, point), disk, OwnDraws(place), point]
    # Those from plugins may change the gradient: they come before it is measured.
    callbacks += [*plugged_in(plan.values), monitor, CountAnew(plan.values["resume"])]
    if log is not None:
        callbacks += _recording(plan, folder, log, monitor)
    options = plan.values["trainer"]
    if options["accumulate"] > 1:
        callbacks.append(ValidateBetweenSteps(options["val_every"]))
    last = ValidateLast(options["max_steps"])
    judged = selected_by([plan])
    best = KeepBest(folder / CHECKPOINTS, judged, plan.task.baseline_of("val"))
    first = [ValidateFirst()] if plan.values["model"]["readout_fit"] == "ridge" else []
    return [*callbacks, last, best, *_changing(plan.values, judged), *first]


def _limits(values: Values) -> str:
    # A callback from a plugin may end training, too.
    kept = {key: values["trainer"][key] for key in ("max_steps", "max_epochs", "early_stop_after")}
    return json.dumps({**kept, "callbacks": values["callbacks"]}, sort_keys=True)


def _recording(plan: Plan, folder: Path, log: RunLog, monitor: StepMonitor) -> list[Callback]:
    # In the first process of a run only. They look and write; what they do is no one else's affair.
    watch = _watch(plan, monitor, folder, log)
    keep = KeepBeforeCliff(watch, folder / CHECKPOINTS / LAST)
    callbacks: list[Callback] = [RecordFirst(log.flush), watch, keep]
    # Omega needs the gradients themselves of every step; the watch takes what it can have.
    needed = "nothing" if omega_term(plan.values) is None else "gradients"
    callbacks += [WeightPath(), BackendTags(log, needed)]
    every = plan.values["monitor"]["dynamics_every"]
    if every is not None:
        callbacks.append(DynamicsProbe(folder, every))
    if is_frozen(folder):
        callbacks.append(StatusFile(monitor, folder / STATUS))
        figure = Frozen.read(folder).reports
        callbacks += [Reports(folder, figure)] if figure else []
    style = plan.values["trainer"]["progress"]
    if style != "none":
        callbacks.append(RunProgress(monitor, run_name(plan.values), style))
    return callbacks


def _changing(values: Values, judged: str) -> list[Callback]:
    callbacks: list[Callback] = []
    patience = values["trainer"]["early_stop_after"]
    if patience is not None:
        callbacks.append(EarlyStopping(judged, patience, values["resume"]))
    term = omega_term(values)
    if term is not None:
        callbacks.append(OmegaRegulariser(term))
    return callbacks


def plugged_in(values: Values) -> list[Callback]:
    """Make the callbacks that a config names, in its order."""
    given = values["callbacks"].items()
    entries = [(REGISTRY.get("callback", name), options or {}) for name, options in given]
    return [entry.cls(**arguments_of(entry.options, options)) for entry, options in entries]


def omega_term(values: Values) -> OmegaTerm | None:
    """Say what pulls against vanishing gradients; None for nothing."""
    return None if values["omega"]["flavour"] == "none" else OmegaTerm(**values["omega"])


def _guard(values: Values) -> NonFiniteGuard:
    options = values["monitor"]
    return NonFiniteGuard(
        options["nonfinite"],
        factor=options["rollback_factor"],
        max_rollbacks=options["max_rollbacks"],
        snapshot_every=options["snapshot_every"],
    )


def _watch(plan: Plan, monitor: StepMonitor, folder: Path, log: RunLog) -> CliffWatch:
    options = plan.values["monitor"]
    shown = plan.values["unroll"]["backend"] != "vendor"
    watched = WatchOptions(
        folder,
        log.profile,
        flow_every=options["flow_every"] if shown else None,
        window=max(1, -(-plan.values["trainer"]["max_steps"] // CHART_POINTS)),
    )
    rule = CliffOptions(ratio=options["cliff_ratio"], deviations=options["cliff_deviations"])
    return CliffWatch(monitor, watched, WindowedDetector(rule))


def quiet() -> None:
    """Silence Lightning's advice on hardware and loaders, which is not this program's voice."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*val_check_interval.*")
    warnings.filterwarnings("ignore", message=".*srun. command is available.*")
    warnings.filterwarnings("ignore", message="The dirpath has changed.*")  # a new run from a file
