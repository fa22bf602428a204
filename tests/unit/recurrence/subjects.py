"""Cells to run the backends on, and what they are run on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.types import State


def draw(cell: PointwiseCell, steps: int, lead: tuple[int, ...]) -> tuple[Tensor, State]:
    """A sequence and an initial state, both leaves that want a gradient."""
    generator = torch.Generator().manual_seed(1)
    dtype = cell.weight_ih.dtype

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()

    x = leaf(steps, *lead, cell.input_size)
    return x, tuple(leaf(*lead, cell.hidden_size) for _ in range(cell.num_states))


def weigh(tensors: list[Tensor]) -> Tensor:
    """Sum tensors up with fixed random weights, the same in every precision."""
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(t.shape, generator=generator).to(t.dtype) for t in tensors]
    return torch.stack([(w * t).sum() for w, t in zip(weights, tensors, strict=True)]).sum()


def cell_of(update: Callable[..., State], gates: int = 2, states: int = 1, units: int = 12) -> Any:
    """Make a cell with this update; it is given the cell first."""

    class Made(PointwiseCell):
        num_gates = gates
        num_states = states

        def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
            return update(self, wx_BGH, rh_BGH, state)

    torch.manual_seed(0)
    return Made(4, hidden_size=units)
