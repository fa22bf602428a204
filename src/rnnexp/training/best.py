"""The weights of the best validation, and how good they are."""

from pathlib import Path

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from rnnexp.tracking import BEST, relative


class KeepBest(ModelCheckpoint):
    """Keep the weights of the best validation, and record its figure as ``val/loss_best``.

    Args:
        folder: where to keep them.
        judged: the figure of a validation that decides; the least is the best.
        baseline: what a guess costs there, by which the figure is divided for
            ``val/loss_relative_best``; None where that is not known.
    """

    def __init__(self, folder: Path, judged: str, baseline: float | None = None) -> None:
        super().__init__(
            folder, filename="best", monitor=judged, save_top_k=1, enable_version_counter=False
        )
        self._units = {f"{judged}{BEST}": 1.0}
        if baseline:
            self._units[f"{relative(judged)}{BEST}"] = baseline
        self._last_global_step_saved = -1  # Lightning's 0 says that step 0 is kept already

    @property
    def figures(self) -> dict[str, float]:
        """The best so far, under the names that it has in the record; empty before the first."""
        score = self.best_model_score
        return {} if score is None else {k: float(score) / unit for k, unit in self._units.items()}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep them if they are the best, and say how good the best is."""
        super().on_validation_end(trainer, pl_module)
        if trainer.logger is not None and not trainer.sanity_checking:
            trainer.logger.log_metrics(self.figures, step=trainer.global_step)
