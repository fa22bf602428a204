from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.types import State


@register_cell("intersection_rnn")
class IntersectionRNN(MatrixCell):
    """The +RNN: two gated paths cross, one through time and one through depth.

        p   = relu(W x_t + R h_{t-1} + b)     n   = tanh(W x_t + R h_{t-1} + b)
        g_y = sigmoid(...)                    g_h = sigmoid(W x_t + R h_{t-1} + b)
        y_t = g_y * x_t + (1 - g_y) * p       the output
        h_t = g_h * h_{t-1} + (1 - g_h) * n   the state

    Where x has not the width of h, a matrix without bias brings it there for y.

    Args:
        gate_bias: initial bias of both gates; above 0 x and h pass unchanged at first.

    Source: Collins, Sohl-Dickstein, Sussillo 2017, "Capacity and trainability in recurrent neural
        networks", arXiv:1611.09913.
    """

    family = "gated"
    gradient_of = "state"
    num_gates = 4

    def __init__(self, input_size: int, *, gate_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(2).fill_(gate_bias)
        self.gate_bias(3).fill_(gate_bias)
        fits = input_size == self.hidden_size
        self.widen = None if fits else nn.Linear(input_size, self.hidden_size, bias=False)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance along both paths."""
        (h,) = state
        p, n, g_y, g_h = (self.project_input(x_BI) + self.project_recurrent(h)).unbind(-2)
        through, g_y, g_h = x_BI, torch.sigmoid(g_y), torch.sigmoid(g_h)
        if self.widen is not None:
            through = self.widen(x_BI)
        y = g_y * through + (1 - g_y) * torch.relu(p)
        return y, (g_h * h + (1 - g_h) * torch.tanh(n),)
