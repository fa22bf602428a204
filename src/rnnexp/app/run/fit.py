"""Train and test one network: what every process of a run does, the only one or one of several."""

from dataclasses import dataclass
from pathlib import Path

import torch
from pytorch_lightning import Trainer, seed_everything

from rnnexp.app.config.build import Plan, build_data, build_module
from rnnexp.app.run.trainer import make_trainer
from rnnexp.files import CHECKPOINTS
from rnnexp.tasks.datamodule import TaskData
from rnnexp.tracking import RunLog
from rnnexp.training.checkpoints import BEST, LAST
from rnnexp.training.denormals import flush_denormals
from rnnexp.training.hooks import drop_empty_hooks
from rnnexp.training.interrupt import StopRequest
from rnnexp.training.module import RecurrentModule
from rnnexp.training.team import ALONE, Place


@dataclass(frozen=True)
class Fitted:
    """A network and what trains it."""

    trainer: Trainer
    module: RecurrentModule
    data: TaskData


def fit(
    plan: Plan,
    folder: Path,
    log: RunLog | None,
    stop: StopRequest,
    checkpoint: Path | None,
    place: Place = ALONE,
) -> Fitted:
    """Train a network, and save the last checkpoint.

    Args:
        plan: a checked config.
        folder: the run's.
        log: the run's record; None in a process that does not lead.
        stop: tells whether a signal has come.
        checkpoint: what training goes on from.
        place: of this process.
    """
    fitted = assemble(plan, folder, log, stop, place)
    train(fitted, folder, checkpoint)
    return fitted


def assemble(
    plan: Plan, folder: Path, log: RunLog | None, stop: StopRequest, place: Place
) -> Fitted:
    """Make a network, its data and what trains it; see `fit`."""
    _prepare_torch(plan)
    module, data = build_module(plan), build_data(plan, place)
    trainer = make_trainer(plan, folder, log, stop, place)
    drop_empty_hooks([module])
    return Fitted(trainer, module, data)


def train(fitted: Fitted, folder: Path, checkpoint: Path | None) -> None:
    """Train, and save the last checkpoint; see `fit`."""
    at = str(checkpoint) if checkpoint else None
    fitted.trainer.fit(fitted.module, fitted.data, ckpt_path=at)
    fitted.trainer.save_checkpoint(folder / CHECKPOINTS / LAST)


def test_best(fitted: Fitted, folder: Path) -> Path:
    """Test the weights of the best validation loss, or the last ones if there was no validation.

    Returns:
        Their checkpoint.
    """
    best = folder / CHECKPOINTS / BEST
    if best.is_file():
        state = torch.load(best, weights_only=True, map_location=fitted.module.device)
        fitted.module.load_state_dict(state["state_dict"])
    fitted.trainer.test(fitted.module, fitted.data, verbose=False)
    return best if best.is_file() else folder / CHECKPOINTS / LAST


def _prepare_torch(plan: Plan) -> None:
    if plan.values["threads"] is not None:
        torch.set_num_threads(plan.values["threads"])
    flush_denormals(plan.values["flush_denormal"])
    seed_everything(plan.values["seed"], verbose=False)
