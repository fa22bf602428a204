"""A recorded step of a run made again: its very weights and batch, from config and seed."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Trainer, seed_everything
from torch import Tensor

from rnnexp.app.config.build import Plan, Values, build_data, build_module, make_plan
from rnnexp.app.config.data_files import with_files_of
from rnnexp.app.config.sources import recorded
from rnnexp.app.run.remade import begun_from, check_remade
from rnnexp.app.run.resume import started_in
from rnnexp.app.run.threads import take_threads_of
from rnnexp.app.run.trainer import make_trainer, omega_term
from rnnexp.errors import ConfigError
from rnnexp.files import CHECKPOINTS
from rnnexp.monitors.events import load_events
from rnnexp.monitors.groups import GroupNorms
from rnnexp.monitors.passes import Flow, Pass, flows_of
from rnnexp.recurrence import FullTrace, Trace
from rnnexp.registry import REGISTRY
from rnnexp.tasks import Batch
from rnnexp.tasks.stream import BatchStream
from rnnexp.tracking import RunHeader, RunLog, RunRecord, load_run
from rnnexp.training.accumulate import size_of_step
from rnnexp.training.checkpoints import steps_done
from rnnexp.training.denormals import flush_denormals
from rnnexp.training.interrupt import StopRequest
from rnnexp.training.module import RecurrentModule
from rnnexp.training.precision import precision_of
from rnnexp.training.regularise import add_omega


@dataclass(frozen=True)
class Rebuilt:
    """A step just before the optimizer moves.

    Args:
        module: with the weights of the step, and the gradients of its batches.
        batches: of the step; several where it accumulates.
        loss: mean of theirs.
        lr: the learning rate that the step was made with.
        plan: the run's config.
        flows: the norms of dL/dh_t, by place in the sequence.
    """

    module: RecurrentModule
    batches: tuple[Batch, ...]
    loss: float
    lr: float
    plan: Plan
    flows: list[Flow]

    @property
    def share(self) -> float:
        """What a batch's loss counts in the step, whose gradient is that of their sum."""
        return _share(self.batches)

    def loss_of(self, batch: Batch) -> Tensor:
        """Compute the loss of a batch in the run's precision."""
        return _loss_of(self.plan, self.module, batch)


def _share(batches: Sequence[Batch]) -> float:
    return 1 / len(batches)


def _loss_of(plan: Plan, module: RecurrentModule, batch: Batch) -> Tensor:
    precision = precision_of(plan.values["trainer"]["precision"])
    with precision.forward_context():
        return module.training_step(precision.convert_input(batch), 0)


def rebuild(folder: Path, step: int) -> Rebuilt:
    """Train again up to a step, from the nearest checkpoint before it, and take its gradient.

    A run on a CPU repeats bit for bit, so these are the weights it had.

    Args:
        folder: the run's.
        step: optimizer step, from 1; also one whose gradient was refused, and ended the run.

    Raises:
        ConfigError: the run has no such step; or it comes out as another than the one on record.
    """
    run = load_run(folder)
    _check_made(folder, run, step)
    values, _ = recorded(folder)
    values["trainer"]["progress"] = "none"
    values.setdefault("callbacks", {})
    plan = make_plan(with_files_of(values, started_in(folder)))
    take_threads_of(folder, plan)
    trainer, module = _trained_up_to(plan, folder, begun_from(run), step - 1)
    stream = cast(BatchStream, trainer.train_dataloader)
    batches = batches_of(stream, trainer.accumulate_grad_batches)
    lr = _rate_at(step, run.metrics.get("train/lr", ()), values)
    loss, flows = _take_gradient(plan, trainer, module, batches)
    norm = GroupNorms(module).total()
    check_remade(run, step, {"train/loss": loss, "grad/raw_norm": norm})
    return Rebuilt(module, batches, loss, lr, plan, flows)


def _check_made(folder: Path, run: RunRecord, step: int) -> None:
    # A gradient that ended the run is no step on record, but the weights before it are known.
    refused = (event.step for event in load_events(folder) if event.kind == "nonfinite")
    made = {*(at for at, _ in run.metrics.get("grad/raw_norm", ())), *refused}
    if step not in made:
        known = f"has steps {min(made)} to {max(made)}" if made else "has no step on record"
        raise ConfigError(f"{folder} {known}, not {step}.")


def batches_of(stream: BatchStream, accumulate: int) -> tuple[Batch, ...]:
    """Make the batches of the next step; the last step of an epoch takes what is left of it.

    Args:
        stream: after the step before.
        accumulate: how many batches a step takes.
    """
    done = stream.position % len(stream)
    number = size_of_step(done, len(stream), accumulate) - done % accumulate
    return tuple(stream.at(stream.position + i) for i in range(number))


def _rate_at(step: int, points: Sequence[tuple[int, float]], values: Values) -> float:
    # On record where it has changed.
    known = [rate for at, rate in points if at <= step]
    return known[-1] if known else float(values["optimizer"]["lr"])


def _trained_up_to(
    plan: Plan, folder: Path, begun: Path | None, steps: int
) -> tuple[Trainer, RecurrentModule]:
    flush_denormals(plan.values["flush_denormal"])
    seed_everything(plan.values["seed"], verbose=False)
    module, data = build_module(plan), build_data(plan)
    start = _nearest(folder, begun, steps)
    with tempfile.TemporaryDirectory() as scratch:
        log = RunLog(Path(scratch), RunHeader("again", "", {}, {}), "", None)
        trainer = make_trainer(plan, Path(scratch), log, StopRequest())
        trainer.fit_loop.epoch_loop.max_steps = steps
        trainer.fit(module, data, ckpt_path=str(start) if start else None)
        log.end("FINISHED")
    return trainer, module


def _nearest(folder: Path, begun: Path | None, steps: int) -> Path | None:
    own = (folder / CHECKPOINTS).glob("*.ckpt")
    # Of several at one step the run's own: what it began with may belong to another since.
    done = {steps_done(path): path for path in (*([begun] if begun else ()), *own)}
    reached = [step for step in done if step is not None and step <= steps]
    if not reached and begun is not None:
        raise ConfigError(
            f"The run began with {begun}, which is not there any more, or was written to since. "
            "Put it back as it was."
        )
    return done[max(reached)] if reached else None


def _take_gradient(
    plan: Plan, trainer: Trainer, module: RecurrentModule, batches: Sequence[Batch]
) -> tuple[float, list[Flow]]:
    term, share = omega_term(plan.values), _share(batches)
    module.train()
    module.zero_grad()
    if module.network.backend == "vendor":  # it shows no dL/dh_t
        module.network.backend = "auto"
    losses: list[float] = []
    passes: list[Pass] = []
    with module.keeping_state():
        for batch in batches:
            module.traces = [FullTrace() if term else Trace() for _ in module.network.layers]
            loss = _loss_of(plan, module, batch)
            (loss * share).backward()
            _call_plugged_in(plan, trainer, "on_after_backward", module)
            if term is not None:
                weight = term.weight_at(trainer.global_step) * share
                add_omega(module.network, module.traces, term.flavour, weight)
            losses.append(float(loss.detach()))
            passes.append(Pass(batch, module.traces, module.network.directions))
        optimizer = trainer.optimizers[0]
        _call_plugged_in(plan, trainer, "on_before_optimizer_step", module, optimizer)
    return sum(losses) / len(losses), flows_of(passes)


def _call_plugged_in(plan: Plan, trainer: Trainer, hook: str, *arguments: Any) -> None:
    # Callbacks of plugins may change the gradient before it is measured.
    kinds = [REGISTRY.get("callback", name).cls for name in plan.values["callbacks"]]
    for callback in cast(Any, trainer).callbacks:
        called = getattr(callback, hook)
        if type(callback) in kinds and called is not None:  # an empty one is dropped
            called(trainer, *arguments)
