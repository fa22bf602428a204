"""Stop a run that does not get better."""

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import early_stopping


class EarlyStopping(early_stopping.EarlyStopping):
    """Lightning's own, but a checkpoint does not bring its patience, nor another run's count.

    Args:
        monitor: the figure of a validation that decides; less is better.
        patience: so many validations without improvement end the run.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        # A figure that is not finite is no improvement; what else it is, monitor.nonfinite says.
        super().__init__(monitor, patience=patience, check_finite=False)
        self._goes_on = True

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look whether this very run goes on, or a new one begins with the weights of another."""
        del pl_module, checkpoint
        run = Path(str(trainer.ckpt_path)).resolve().parent.parent
        self._goes_on = run == Path(trainer.default_root_dir).resolve()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting, up to what the config says now."""
        if self._goes_on:
            super().load_state_dict({**state_dict, "patience": self.patience})
