from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import register_callback


@register_callback("spectral_radius")
class SpectralRadius(Callback):
    """Log the spectral radius of each layer's recurrent matrix, the largest over its gates.

        rho = max over gates of max_i |lambda_i(R)|

    Without the nonlinearity a gradient shrinks by rho per step in the long run: below 1 it
    vanishes, above 1 it can explode. As ``flow/spectral_radius``, by layer where there are several.

    Args:
        every: steps between two records.

    Source: Pascanu et al. 2013, section 2.1.
    """

    def __init__(self, *, every: int = 50) -> None:
        self.every = every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Log it when it is due."""
        del args, kwargs
        step = trainer.global_step
        if step % self.every == 0 and trainer.logger is not None:
            trainer.logger.log_metrics(radii(cast(Any, pl_module).network), step=step)


@torch.no_grad()
def radii(network: RecurrentNetwork) -> dict[str, float]:
    """Compute the spectral radius of every layer that has a recurrent matrix."""
    figures: dict[str, float] = {}
    for layer, cell in enumerate(network.layers):
        matrix = getattr(cell, "weight_hh", None)
        if matrix is None:
            continue
        gates_GHH = matrix.unflatten(0, (-1, cell.hidden_size))
        suffix = "" if len(network.layers) == 1 else f"_layer{layer}"
        figures[f"flow/spectral_radius{suffix}"] = float(
            torch.linalg.eigvals(gates_GHH).abs().max()
        )
    return figures
