"""The weights of the best validation, and how good they are."""

from pathlib import Path

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from rnnexp.tracking import BEST


class KeepBest(ModelCheckpoint):
    """Keep the weights of the best validation, and record its figure as ``val/loss_best``.

    Args:
        folder: where to keep them.
        judged: the figure of a validation that decides; the least is the best.
    """

    def __init__(self, folder: Path, judged: str) -> None:
        super().__init__(
            folder, filename="best", monitor=judged, save_top_k=1, enable_version_counter=False
        )
        self._last_global_step_saved = -1  # Lightning's 0 says that step 0 is kept already

    @property
    def figures(self) -> dict[str, float]:
        """The best so far, under the name that it has in the record; empty before the first."""
        score = self.best_model_score
        return {} if score is None else {f"{self.monitor}{BEST}": float(score)}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep them if they are the best, and say how good the best is."""
        super().on_validation_end(trainer, pl_module)
        if trainer.logger is not None and not trainer.sanity_checking:
            trainer.logger.log_metrics(self.figures, step=trainer.global_step)
