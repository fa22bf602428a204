"""A recorded step of a run made again: its very weights and batch, from config and seed."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pytorch_lightning import seed_everything
from torch import Tensor

from rnnexp.app.config.build import Plan, Values, build_data, build_module, make_plan
from rnnexp.app.config.sources import recorded
from rnnexp.app.run.threads import take_threads_of
from rnnexp.app.run.trainer import make_trainer, omega_term
from rnnexp.errors import ConfigError
from rnnexp.monitors.events import load_events
from rnnexp.monitors.passes import Flow, Pass, flows_of
from rnnexp.recurrence import FullTrace, Trace
from rnnexp.tasks import Batch
from rnnexp.tracking import RunHeader, RunLog, load_run
from rnnexp.training.accumulate import size_of_step
from rnnexp.training.checkpoints import is_whole
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
        ConfigError: the run has no such step.
    """
    metrics = load_run(folder).metrics
    last = _last_step(folder, metrics.get("grad/raw_norm", ()))
    if not 1 <= step <= last:
        raise ConfigError(f"{folder} has steps 1 to {last}, not {step}.")
    values, _ = recorded(folder)
    values["trainer"]["progress"] = "none"
    values.setdefault("callbacks", {})
    plan = make_plan(values)
    take_threads_of(folder, plan)
    module = _trained_up_to(plan, folder, step - 1)
    stream = build_data(plan).train_dataloader()
    positions = positions_of(step, len(stream), values["trainer"]["accumulate"])
    batches = tuple(stream.at(position) for position in positions)
    lr = _rate_at(step, metrics.get("train/lr", ()), values)
    loss, flows = _take_gradient(plan, module, batches, step)
    return Rebuilt(module, batches, loss, lr, plan, flows)


def _last_step(folder: Path, norms: Sequence[tuple[int, float]]) -> int:
    # A gradient that ended the run is no step on record, but the weights before it are known.
    refused = (event.step for event in load_events(folder) if event.kind == "nonfinite")
    return max((*(step for step, _ in norms), *refused), default=0)


def positions_of(step: int, batches: int, accumulate: int) -> range:
    """Give the positions of a step's batches; the last step of an epoch takes what is left of it.

    Args:
        step: optimizer step, from 1.
        batches: of an epoch.
        accumulate: how many a step takes.
    """
    epoch, before = divmod(step - 1, -(-batches // accumulate))
    begin = epoch * batches + before * accumulate
    return range(begin, begin + size_of_step(before * accumulate, batches, accumulate))


def _rate_at(step: int, points: Sequence[tuple[int, float]], values: Values) -> float:
    # On record where it has changed.
    known = [rate for at, rate in points if at <= step]
    return known[-1] if known else float(values["optimizer"]["lr"])


def _trained_up_to(plan: Plan, folder: Path, steps: int) -> RecurrentModule:
    flush_denormals(plan.values["flush_denormal"])
    seed_everything(plan.values["seed"], verbose=False)
    module = build_module(plan)
    if steps == 0:
        return module
    with tempfile.TemporaryDirectory() as scratch:
        log = RunLog(Path(scratch), RunHeader("again", "", {}, {}), "", None)
        trainer = make_trainer(plan, Path(scratch), log, StopRequest())
        trainer.fit_loop.epoch_loop.max_steps = steps
        start = _nearest(folder, steps)
        trainer.fit(module, build_data(plan), ckpt_path=str(start) if start else None)
        log.end("FINISHED")
    return module


def _nearest(folder: Path, steps: int) -> Path | None:
    done = {
        int(torch.load(path, weights_only=True, map_location="cpu")["global_step"]): path
        for path in (folder / "checkpoints").glob("*.ckpt")
        if is_whole(path)
    }
    reached = [step for step in done if step <= steps]
    return done[max(reached)] if reached else None


def _take_gradient(
    plan: Plan, module: RecurrentModule, batches: Sequence[Batch], step: int
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
            if term is not None:
                weight = term.weight_at(step - 1) * share
                add_omega(module.network, module.traces, term.flavour, weight)
            losses.append(float(loss.detach()))
            passes.append(Pass(batch, module.traces, module.network.directions))
    return sum(losses) / len(losses), flows_of(passes)
