"""What a new run does not take over from the run whose checkpoint it begins with."""

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.watch import CliffWatch


class CountAnew(Callback):
    """Have a new run that begins with a checkpoint of another count from zero.

    Args:
        resume: of the config: a run that it names goes on, a checkpoint file starts a new one.
    """

    def __init__(self, resume: str | None) -> None:
        self.names_a_run = resume is not None and not Path(resume).is_file()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget what the checkpoint has brought of counts."""
        del pl_module
        if trainer.ckpt_path is None or self.names_a_run or _is_own(trainer):
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # untyped in Lightning
        for callback in callbacks:
            if isinstance(callback, StepMonitor | CliffWatch):
                callback.count_anew()


def _is_own(trainer: Trainer) -> bool:
    run = Path(str(trainer.ckpt_path)).resolve().parent.parent
    return run == Path(trainer.default_root_dir).resolve()
