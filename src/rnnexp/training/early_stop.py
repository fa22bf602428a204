"""Stop a run that does not get better."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import early_stopping

from rnnexp.training.resume import goes_on


class EarlyStopping(early_stopping.EarlyStopping):
    """Lightning's own, but a checkpoint does not bring its patience, nor another run's count.

    Args:
        monitor: the figure of a validation that decides; less is better.
        patience: so many validations without improvement end the run.
        resume: of the config.
    """

    def __init__(self, monitor: str, patience: int, resume: str | None = None) -> None:
        # A figure that is not finite is no improvement; what else it is, monitor.nonfinite says.
        super().__init__(monitor, patience=patience, check_finite=False)
        self._resume, self._goes_on = resume, True

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look whether this very run goes on, or a new one begins with the weights of another."""
        del pl_module, checkpoint
        self._goes_on = goes_on(trainer, self._resume)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting, up to what the config says now."""
        if self._goes_on:
            super().load_state_dict({**state_dict, "patience": self.patience})
