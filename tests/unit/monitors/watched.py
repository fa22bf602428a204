"""A short run under watch, with a cliff whose place is known."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers.logger import Logger
from torch import Tensor

from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.nonfinite import NonFiniteGuard, NonFinitePolicy
from rnnexp.monitors.watch import CliffWatch, WatchOptions
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.tasks import Task
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.module import Recipe, RecurrentModule

from ...quiet import QUIET

CLIFF = 60


class Scaled(RecurrentModule):
    """Its loss is a thousand times larger at one step: a cliff whose place is known."""

    factor = 1000.0

    def training_step(self, batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * self.factor if self.global_step == CLIFF - 1 else loss


class Unbounded(Scaled):
    """Its loss is infinite at one step, and the gradient of it is as always."""

    def training_step(self, batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss + (math.inf if self.global_step == CLIFF - 1 else 0.0)


class Log:
    def __init__(self) -> None:
        self.profiles: list[tuple[int, Mapping[str, Sequence[float]]]] = []
        self.figures: dict[str, list[tuple[int, float]]] = {}

    def profile(self, values: Mapping[str, Sequence[float]], step: int) -> None:
        self.profiles.append((step, values))


def watch_of(
    folder: Path, log: Log, policy: NonFinitePolicy = "raise", **options
) -> tuple[StepMonitor, CliffWatch]:
    monitor = StepMonitor(NonFiniteGuard(policy))
    return monitor, CliffWatch(monitor, WatchOptions(folder, log.profile, **options))


def train(
    plugins,
    folder: Path,
    callbacks: Sequence[Callback],
    steps: int,
    factor: float = 1000.0,
    window: int | None = None,
    kind: type[Scaled] = Scaled,
    cell: str = "elman",
    logger: Logger | bool = False,
    accumulate: int = 1,
    task: Task | None = None,
) -> Scaled:
    torch.manual_seed(0)
    task = task or plugins.get("task", "adding").cls(length=12, batch_size=8)
    make_cell = plugins.get("cell", cell).cls
    pattern = task.patterns[0]
    network = RecurrentNetwork(
        lambda size: make_cell(size, hidden_size=6),
        task.input_size,
        task.output_size,
        readout=pattern,
    )
    module = kind(network, task, Recipe(lambda p: torch.optim.SGD(p, lr=1e-6)), window)
    module.factor = factor
    trainer = Trainer(
        max_steps=steps,
        callbacks=list(callbacks),
        logger=logger,
        accumulate_grad_batches=accumulate,
        limit_val_batches=0,
        **QUIET,
        default_root_dir=folder,
    )
    trainer.fit(module, TaskData(task, pattern, window))
    return module
