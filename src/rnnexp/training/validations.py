"""When weights are validated: between two steps, at the end, and a fit before the first."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.training.accumulate import size_of_step


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


class ValidateBetweenSteps(Callback):
    """Have a validation that is due amid an accumulation wait for the end of the step.

    Lightning counts batches: where a step takes many, it would validate the same weights again and
    again, and each time early stopping would find them no better.

    Args:
        every: training batches between two validations.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell Lightning, which asks where it goes on, whether there was one just before."""
        del pl_module
        self._decide(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Tell Lightning whether there is one now."""
        del pl_module, args, kwargs
        self._decide(trainer)

    def _decide(self, trainer: Trainer) -> None:
        # Lightning validates where this number divides that of the batches done.
        done = trainer.fit_loop.total_batch_idx + 1
        trainer.val_check_batch = done if done and self._is_due(trainer, done) else done + 1

    def _is_due(self, trainer: Trainer, done: int) -> bool:
        batches, accumulate = int(trainer.num_training_batches), trainer.accumulate_grad_batches
        batch_idx = trainer.fit_loop.batch_idx % batches  # -1 before an epoch: the last of one
        size = size_of_step(batch_idx, batches, accumulate)
        ends_step = batch_idx % accumulate + 1 == size
        return ends_step and done // self.every > (done - size) // self.every


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
