"""A recorded step of a run made again: its very weights and batch, from config and seed."""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from pytorch_lightning import seed_everything

from rnnexp.app.build import Plan, build_data, build_module, make_plan
from rnnexp.app.resume import OUTPUTS
from rnnexp.app.sources import recorded
from rnnexp.app.trainer import make_trainer, omega_term
from rnnexp.errors import ConfigError, StoreError
from rnnexp.monitors.events import load_events
from rnnexp.recurrence import FullTrace, Trace
from rnnexp.tasks import Batch
from rnnexp.tracking import RunHeader, RunLog, add_artifacts, find_run, load_run
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


def asked_for(command: str, arguments: list[str], doc: str | None) -> tuple[Path, int]:
    """Read a command line of a run and a step; the run's largest cliff is the default.

    Raises:
        ConfigError: there is no such run, or no step is named and no cliff recorded.
    """
    parser = argparse.ArgumentParser(prog=f"rnnexp {command}", description=doc)
    parser.add_argument("run", help="MLflow run id, or the run's folder")
    parser.add_argument("step", type=int, nargs="?", help="default: the run's largest cliff")
    args = parser.parse_args(arguments)
    folder = folder_of(args.run)
    if args.step is not None:
        return folder, args.step
    events = load_events(folder)
    if not events:
        raise ConfigError(f"{folder} has no recorded cliff. Name a step.")
    return folder, max(events, key=lambda event: event.raw_norm).step


def keep(folder: Path, files: Iterable[Path]) -> None:
    """Say which files were made of a run, and put them beside its other pictures in the store."""
    files = list(files)
    for file in files:
        print(f"Made: {file}")
    try:
        print(f"In the record of the run: {add_artifacts(folder, files, 'pictures')}")
    except StoreError as error:
        print(f"rnnexp: not in the store yet: {error} rnnexp sync {folder}", file=sys.stderr)


def folder_of(run: str) -> Path:
    """Find a run's folder by its MLflow id, or take the folder itself.

    Raises:
        ConfigError: there is no such run.
    """
    folder = Path(run) if Path(run).is_dir() else find_run(run, Path(OUTPUTS))
    if folder is None or not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"No run '{run}' below {Path(OUTPUTS).resolve()}. Give its MLflow id or its folder."
        )
    return folder


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
