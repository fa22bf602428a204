"""The path of the weights themselves, for a network small enough to draw it."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from rnnexp.monitors.groups import cell_name

MOST = 8
"""Scalars in all trained parameters together, up to which a network counts as small."""


class WeightPath(Callback):
    """Log every weight after every optimizer step, as ``param/layer0.weight_hh``.

    The weights before the first step are those of step 0. A network of more than `MOST` scalars
    is passed over.
    """

    def __init__(self) -> None:
        self._named: list[tuple[str, nn.Parameter]] = []
        self._logged = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log where the path begins; a resumed run has it already."""
        directions = getattr(pl_module.network, "directions", 1)
        parameters = pl_module.named_parameters()
        named = [(_key(name, directions), p) for name, p in parameters if p.requires_grad]
        self._named = named if sum(p.numel() for _, p in named) <= MOST else []
        self._logged = trainer.global_step
        if trainer.global_step == 0:
            self._log(trainer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log where the step led; a batch that is accumulated only makes no step."""
        del pl_module, outputs, batch, batch_idx
        if trainer.global_step > self._logged:
            self._log(trainer)

    def _log(self, trainer: Trainer) -> None:
        self._logged = trainer.global_step
        if self._named and trainer.logger is not None:
            values = {key: value for name, p in self._named for key, value in _scalars(name, p)}
            trainer.logger.log_metrics(values, step=trainer.global_step)


def _key(name: str, directions: int) -> str:
    group, *rest = name.removeprefix("network.").split(".")
    if group == "cells":
        index, *rest = rest
        group = cell_name(int(index), directions)
    return "param/" + ".".join([group, *rest])


def _scalars(key: str, parameter: nn.Parameter) -> list[tuple[str, float]]:
    values = parameter.detach().flatten().tolist()
    if len(values) == 1:
        return [(key, values[0])]
    return [(f"{key}.{index}", value) for index, value in enumerate(values)]
