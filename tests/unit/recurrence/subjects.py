"""Cells to run the backends on, and what they are run on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell
from rnnexp.types import State


class Peephole(PointwiseCell):
    """Two states that see each other, a product used twice; parameters and a buffer of its own."""

    scale: Tensor
    num_gates = 2
    num_states = 2
    recurrent_bias = True

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.peep = nn.Parameter(torch.full((self.hidden_size,), 0.3))
        self.frozen = nn.Parameter(torch.ones(self.hidden_size), requires_grad=False)
        self.register_buffer("scale", torch.ones(self.hidden_size))

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        wx_a, wx_b = wx_BGH.unbind(-2)
        rh_a, rh_b = rh_BGH.unbind(-2)
        c = torch.sigmoid(wx_a * rh_a + torch.exp(self.peep) * state[1]) * state[0] + wx_a
        return torch.tanh(wx_b * self.frozen * self.scale - rh_b + self.peep * c), c


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


def strided(t: Tensor) -> Tensor:
    """The same numbers, not one after the other in memory."""
    return t.unsqueeze(-1).repeat_interleave(2, -1).select(-1, 0)
