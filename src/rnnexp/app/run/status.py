"""How far a job of a sweep has come, for whoever watches the sweep."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from hydra_plugins.rnnexp_optuna_sweeper.report import write_report
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.tracking.files import write_json

_REFRESH_SECONDS = 0.5


class StatusFile(Callback):
    """Keep the latest step and loss in a small file, at most twice a second.

    Args:
        monitor: has the figures.
        path: the file.
    """

    def __init__(self, monitor: StepMonitor, path: Path) -> None:
        self.monitor = monitor
        self.path = path
        self._written = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Write it if it is old."""
        del pl_module, args, kwargs
        now = time.monotonic()
        if now - self._written < _REFRESH_SECONDS:
            return
        self._written = now
        loss = self.monitor.latest.get("train/loss")
        with suppress(OSError):  # a full disk: the next turn tries again, and training goes on
            status = {"step": trainer.global_step, "of": trainer.max_steps, "loss": loss}
            write_json(self.path, status, sync=False)


class Reports(Callback):
    """Tell a search how well a trial does, after each validation.

    Args:
        folder: the trial's.
        figure: which of the figures it is judged by.
    """

    def __init__(self, folder: Path, figure: str) -> None:
        self.folder = folder
        self.figure = figure

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append it to the reports."""
        del pl_module
        value = trainer.callback_metrics.get(self.figure)
        if value is not None and trainer.is_global_zero:
            write_report(self.folder, trainer.global_step, float(value))
