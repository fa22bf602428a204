"""Callbacks of a run for its record, for who watches its sweep, and for a new run's counts."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from hydra_plugins.rnnexp_optuna_sweeper.report import write_report
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.groups import cell_names
from rnnexp.monitors.watch import CliffWatch
from rnnexp.recurrence import RecurrentNetwork, choose_backend
from rnnexp.recurrence.trace import Shown
from rnnexp.tracking import RunLog
from rnnexp.tracking.files import write_json
from rnnexp.training.checkpoints import BEFORE_CLIFF, keep_as
from rnnexp.training.resume import goes_on

_BACKEND = "rnnexp.backend."
"""Beginning of a tag of the record: which backend runs a layer in training."""
_REFRESH_SECONDS = 0.5


class BackendTags(Callback):
    """Note the backend of each layer once training has begun.

    Before, the weights are on the CPU and in float32, whatever device and precision they are
    trained with.

    Args:
        log: the run's record.
        needed: how much of dL/dh_t every step must show.
    """

    def __init__(self, log: RunLog, needed: Shown) -> None:
        self._record = log  # `log` is set by Lightning
        self.needed: Shown = needed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask as a training step does: under autocast, where there is any."""
        network = cast(RecurrentNetwork, pl_module.network)
        with trainer.precision_plugin.train_step_context():
            names = [choose_backend(cell, network.backend, self.needed) for cell in network.layers]
        named = zip(cell_names(network), names, strict=True)
        self._record.tags({f"{_BACKEND}{cell}": name for cell, name in named})


class CountAnew(Callback):
    """Have a new run that begins with a checkpoint of another count from zero.

    Args:
        resume: of the config.
    """

    def __init__(self, resume: str | None) -> None:
        self.resume = resume

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget what the checkpoint has brought of counts."""
        del pl_module
        if trainer.ckpt_path is None or goes_on(trainer, self.resume):
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped in Lightning
        for callback in callbacks:
            if isinstance(callback, StepMonitor | CliffWatch):
                callback.count_anew()


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


class KeepBeforeCliff(Callback):
    """Keep the checkpoint before the largest cliff: from there ``rnnexp replay`` trains again.

    Args:
        watch: knows which cliff is the largest.
        last: the checkpoint that the run goes on from, of which it keeps two.
    """

    def __init__(self, watch: CliffWatch, last: Path) -> None:
        self.watch = watch
        self.last = last
        self._step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the cliffs of an earlier part of the run as seen to."""
        del trainer, pl_module
        self._step = self.watch.largest_step

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Where there was a cliff since the last checkpoint, that is the one to keep."""
        del trainer, pl_module, checkpoint
        if self._step != self.watch.largest_step:
            self._step = self.watch.largest_step
            keep_as(self.last, BEFORE_CLIFF)


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
