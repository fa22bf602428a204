from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.cells import PointwiseCell
from rnnexp.errors import ConfigError
from rnnexp.monitors.groups import cell_names, suffix_of
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import register_callback


@register_callback("spectral_radius")
class SpectralRadius(Callback):
    """Log the spectral radius of each layer's recurrent matrix, the largest over its gates.

        rho = max over gates of max_i |lambda_i(R)|

    R is what the loop multiplies h by, whatever it is made of. In a simple network such as elman,
    h_t = f(W x_t + R h_{t-1} + b), a gradient shrinks by rho per step in the long run but for the
    slopes of f: below 1 it vanishes, above 1 it can explode. Where h_t has a further path from
    h_{t-1}, in residual, leaky and gated cells, rho is the radius of R and no more. Nothing is
    logged of cells without an R, or that are no `PointwiseCell`: theirs is not known.

    As ``flow/spectral_radius``, by layer where there are several.

    Args:
        every: steps between two records.

    Source: Pascanu et al. 2013, section 2.1.
    """

    def __init__(self, *, every: int = 50) -> None:
        if every < 1:
            raise ConfigError(f"callbacks.spectral_radius.every: must be at least 1, got {every}.")
        self.every = every
        self._seen = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the steps done; a run that goes on has logged them."""
        del pl_module
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Log it when it is due; a batch that is accumulated only makes no step."""
        del args, kwargs
        step, before = trainer.global_step, self._seen
        self._seen = step
        if step > before and step % self.every == 0 and trainer.logger is not None:
            trainer.logger.log_metrics(radii(cast(Any, pl_module).network), step=step)


@torch.no_grad()
def radii(network: RecurrentNetwork) -> dict[str, float]:
    """Compute the spectral radius of every layer whose recurrent matrix is known."""
    figures: dict[str, float] = {}
    names = cell_names(network)
    for name, cell in zip(names, network.layers, strict=True):
        if not isinstance(cell, PointwiseCell) or cell.weight_hh is None:
            continue
        figures[f"flow/spectral_radius{suffix_of(name, names)}"] = _radius(cell)
    return figures


def _radius(cell: PointwiseCell) -> float:
    weight = cell.recurrent_weight()
    if weight.dtype in (torch.bfloat16, torch.float16):  # of which torch knows no eigenvalues
        weight = weight.float()
    gates_GHH = weight.unflatten(0, (-1, cell.hidden_size))
    return float(torch.linalg.eigvals(gates_GHH).abs().max())
