"""Omega added to the gradient of every training step, before it is clipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell
from rnnexp.recurrence import FullTrace, RecurrentNetwork, Trace
from rnnexp.training.accumulate import batches_of_step
from rnnexp.training.omega import WEIGHTS, Flavour, omega


@dataclass(frozen=True)
class OmegaTerm:
    """How strongly Omega pulls.

        weight_n = weight / (1 + n / decay_steps)    at optimizer step n; constant without decay

    Args:
        flavour: see `omega`.
        weight: None takes the one that goes with the flavour.
        decay_steps: steps after which the weight is halved; None keeps it.
    """

    flavour: Flavour = "paper"
    weight: float | None = None
    decay_steps: float | None = None

    def weight_at(self, step: int) -> float:
        """Say by what Omega is multiplied at an optimizer step."""
        weight = WEIGHTS[self.flavour] if self.weight is None else self.weight
        return weight if self.decay_steps is None else weight / (1 + step / self.decay_steps)


class OmegaRegulariser(Callback):
    """Add Omega's gradient to that of the recurrent matrices, after each backward pass.

        dL/dR  <-  dL/dR + weight_n * dOmega/dR        in every layer

    So the raw norm, and what is clipped, includes it. Stands behind the callback that asks for
    traces, and asks for full ones instead. Logs the sum over layers as ``train/omega``, averaged
    over processes as the gradient is.

    Args:
        term: flavour and weight.
    """

    def __init__(self, term: OmegaTerm) -> None:
        self.term = term
        self._steps_done = 0
        self._value = torch.zeros(())  # the mean over the batches of a step, as far as it goes

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the steps done."""
        del pl_module
        self._steps_done = trainer.global_step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ask for dL/dh_t itself."""
        del trainer, batch, batch_idx
        module = cast(Any, pl_module)
        follows = any(trace.follows_last for trace in module.traces)
        module.traces = [FullTrace(follows_last=follows) for _ in module.network.layers]

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the gradient, averaged over processes as that of the loss is."""
        network = cast(RecurrentNetwork, pl_module.network)
        batches = batches_of_step(trainer)
        weight = self.term.weight_at(trainer.global_step) / batches
        traces = cast(Any, pl_module).traces
        value = add_omega(
            network,
            traces,
            self.term.flavour,
            weight,
            lambda gradient: trainer.strategy.reduce(gradient, reduce_op="mean"),
        )
        self._value = self._value.to(value) + value / batches

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log Omega once a step; amid an accumulation there is none."""
        del pl_module, outputs, batch, batch_idx
        if trainer.global_step == self._steps_done:
            return
        self._steps_done = trainer.global_step
        # All processes ask for the mean, though the first alone has a logger: each waits for it.
        value = trainer.strategy.reduce(self._value, reduce_op="mean")
        self._value = torch.zeros(())
        if trainer.logger is not None:
            trainer.logger.log_metrics({"train/omega": float(value)}, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Keep what the batches of a half-done step have come to."""
        return {"value": self._value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self._value = state_dict["value"]


def add_omega(
    network: RecurrentNetwork,
    traces: Sequence[Trace],
    flavour: Flavour,
    weight: float,
    reduce: Callable[[Tensor], Tensor] = lambda gradient: gradient,
) -> Tensor:
    """Add Omega's gradient to that of the loss, in every layer.

    Args:
        network: after a backward pass.
        traces: full ones, which that pass has filled, one for each layer.
        flavour: see `omega`.
        weight: by what Omega is multiplied.
        reduce: averages over processes.

    Returns:
        Omega, summed over layers, without the weight.
    """
    values: list[Tensor] = []
    for cell, trace in zip(network.layers, traces, strict=True):
        matrix = _matrix(cell)
        value, gradient = _gradient(cast(PointwiseCell, cell), cast(FullTrace, trace), flavour)
        values.append(value)
        _add(matrix, reduce(gradient) * weight)
    return torch.stack(values).sum()


def _gradient(cell: PointwiseCell, trace: FullTrace, flavour: Flavour) -> tuple[Tensor, Tensor]:
    assert trace.inputs_TBI is not None
    assert trace.grad_TBH is not None
    with torch.enable_grad():
        value = omega(cell, trace.inputs_TBI, trace.states, trace.grad_TBH, flavour)
        (gradient,) = torch.autograd.grad(value, _matrix(cell))
    return value.detach(), gradient


def _matrix(cell: Cell) -> torch.nn.Parameter:
    matrix = cast(PointwiseCell, cell).weight_hh
    assert matrix is not None  # or `omega` would have refused the cell
    return matrix


def _add(weight: torch.nn.Parameter, gradient: Tensor) -> None:
    weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
