"""Validations of the weights that training ends with, and of a fit that it begins with."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class ValidateFirst(Callback):
    """Have the weights validated that training begins with: fitted ones may stay the best."""

    def __init__(self) -> None:
        self.goes_on = False

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note that training does not begin here, be it that no step was made yet."""
        del trainer, pl_module, checkpoint
        self.goes_on = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the validation loop as Lightning does between two steps."""
        del pl_module
        if not self.goes_on:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True


class ValidateLast(Callback):
    """Have the last step validated, so that its weights may be the best, too.

    Args:
        max_steps: optimizer steps after which training is over.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Ask for a stop where training ends anyway: Lightning validates before it stops."""
        del pl_module, args, kwargs
        if trainer.global_step >= self.max_steps or _ends_last_epoch(trainer):
            trainer.should_stop = True


def _ends_last_epoch(trainer: Trainer) -> bool:
    progress: Any = trainer.fit_loop.epoch_progress.current
    done, wanted = progress.processed, trainer.max_epochs
    return bool(wanted) and trainer.is_last_batch and 0 < wanted <= done + 1
