"""What a new run does not take over from the run whose checkpoint it begins with."""

from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.watch import CliffWatch
from rnnexp.training.resume import goes_on


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
