"""A recorded step of a run made again: its very weights and batch, from config and seed."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from pytorch_lightning import seed_everything

from rnnexp.app.config.build import Plan, build_data, build_module, make_plan
from rnnexp.app.config.sources import recorded
from rnnexp.app.run.threads import take_threads_of
from rnnexp.app.run.trainer import make_trainer, omega_term
from rnnexp.errors import ConfigError
from rnnexp.recurrence import FullTrace, Trace
from rnnexp.tasks import Batch
from rnnexp.tracking import RunHeader, RunLog, load_run
from rnnexp.training.checkpoints import is_whole
from rnnexp.training.denormals import flush_denormals
from rnnexp.training.interrupt import StopRequest
from rnnexp.training.module import RecurrentModule
from rnnexp.training.regularise import add_omega


@dataclass(frozen=True)
class Rebuilt:
    """A step just before the optimizer moves.

    Args:
        module: with the weights of the step, and the gradients of its batch.
        batch: the step's batch.
        loss: of that batch.
        plan: the run's config.
    """

    module: RecurrentModule
    batch: Batch
    loss: float
    plan: Plan


def rebuild(folder: Path, step: int) -> Rebuilt:
    """Train again up to a step, from the nearest checkpoint before it, and take its gradient.

    A run on a CPU repeats bit for bit, so these are the weights it had.

    Args:
        folder: the run's.
        step: optimizer step, from 1.

    Raises:
        ConfigError: the run has no such step.
    """
    last = max((s for s, _ in load_run(folder).metrics.get("grad/raw_norm", ())), default=0)
    if not 1 <= step <= last:
        raise ConfigError(f"{folder} has steps 1 to {last}, not {step}.")
    values, _ = recorded(folder)
    values["trainer"]["progress"] = "none"
    values.setdefault("callbacks", {})
    plan = make_plan(values)
    take_threads_of(folder, plan)
    module = _trained_up_to(plan, folder, step - 1)
    position = (step - 1) * values["trainer"]["accumulate"]
    batch = build_data(plan).train_dataloader().at(position)
    return Rebuilt(module, batch, _take_gradient(plan, module, batch, step), plan)


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


def _take_gradient(plan: Plan, module: RecurrentModule, batch: Batch, step: int) -> float:
    term = omega_term(plan.values)
    module.train()
    module.zero_grad()
    module.traces = [FullTrace() if term else Trace() for _ in module.network.layers]
    if module.network.backend == "vendor":  # it shows no dL/dh_t
        module.network.backend = "auto"
    with module.keeping_state():
        loss = module.training_step(batch, 0)
    loss.backward()
    if term is not None:
        add_omega(module.network, module.traces, term.flavour, term.weight_at(step - 1))
    return float(loss.detach())
