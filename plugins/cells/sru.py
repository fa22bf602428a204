from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.cells.init import gates_of, input_weight
from rnnexp.types import State


@register_cell("sru")
class SRU(LinearCell):
    """Simple recurrent unit: the gates see the past element by element, or not at all.

        f   = sigmoid(W_f x_t + v_f * c_{t-1} + b_f)
        r   = sigmoid(W_r x_t + v_r * c_{t-1} + b_r)
        c_t = f * c_{t-1} + (1 - f) * W x_t
        h_t = r * c_t + (1 - r) * P x_t                P = 1 where I equals H

    Args:
        gates_see_state: whether v is there; without it the cell is linear in its state, and the
            backend scan runs all steps at once.

    Source: Lei et al. 2017, "Simple recurrent units for highly parallelizable recurrence" (arXiv
        1709.02755), without the scaling of the highway.
    """

    def __init__(self, input_size: int, *, gates_see_state: bool = True, **options: Any) -> None:
        super().__init__(input_size, **options)
        hidden = self.hidden_size
        self.is_linear = not gates_see_state
        self.weight_ih = input_weight(3, hidden, input_size)
        self.bias_ih = nn.Parameter(torch.zeros(2 * hidden))
        self.peephole = nn.Parameter(torch.zeros(2, hidden)) if gates_see_state else None
        self.weight_skip = input_weight(1, hidden, input_size) if input_size != hidden else None

    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Keep f, and add 1 - f of the new; gates without a look at the state."""
        f, new = self._product(seen_BI, 0), self._product(seen_BI, 2)
        return torch.sigmoid(f), torch.sigmoid(-f) * new

    def readout(self, s_BN: Tensor, seen_BI: Tensor) -> Tensor:
        """Mix c and the input by r; a gate without a look at the state."""
        return self._mixed(s_BN, seen_BI, self._product(seen_BI, 1))

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by one step, with what the gates see of the state."""
        if self.peephole is None:
            return super().step(x_BI, state)
        f, r, new = self._products(x_BI)
        v_f, v_r = self.peephole
        f = f + v_f * state[0]
        c = torch.sigmoid(f) * state[0] + torch.sigmoid(-f) * new
        return self._mixed(c, x_BI, r + v_r * state[0]), (c,)

    def _products(self, x_BI: Tensor) -> tuple[Tensor, ...]:
        f, r, new = gates_of(x_BI, self.weight_ih, None, 3).unbind(-2)
        b_f, b_r = self.bias_ih.chunk(2)
        return f + b_f, r + b_r, new

    def _product(self, x_BI: Tensor, gate: int) -> Tensor:
        """Give f, r or the new value alone: all steps at once need each but once."""
        rows = slice(gate * self.hidden_size, (gate + 1) * self.hidden_size)
        product = nn.functional.linear(x_BI, self.weight_ih[rows])
        return product if gate == 2 else product + self.bias_ih[rows]

    def _mixed(self, c: Tensor, x_BI: Tensor, r: Tensor) -> Tensor:
        skip = x_BI if self.weight_skip is None else nn.functional.linear(x_BI, self.weight_skip)
        return torch.sigmoid(r) * c + torch.sigmoid(-r) * skip
