from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.types import State


@register_cell("wmc_lstm")
class WMCLSTM(MatrixCell):
    """An LSTM whose gates see all of its memory, through matrices and a squashing.

        i, f = sigmoid(W x_t + R h_{t-1} + b + tanh(M c_{t-1} + b_m))
        g    = tanh(W x_t + R h_{t-1} + b)
        c_t  = f * c_{t-1} + i * g
        o    = sigmoid(W x_t + R h_{t-1} + b + tanh(M c_t + b_m))
        h_t  = o * tanh(c_t)

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.

    Source: Landi, Baraldi, Cornia, Cucchiara 2021, "Working memory connections for LSTM",
        arXiv:2109.00020.
    """

    family = "lstm"
    num_gates = 4
    num_states = 2

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(1).fill_(forget_bias)
        self.memory = nn.ModuleList(nn.Linear(self.hidden_size, self.hidden_size) for _ in range(3))

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Let i and f see the old memory, and o the new."""
        h, c = state
        i, f, g, o = (self.project_input(x_BI) + self.project_recurrent(h)).unbind(-2)
        seen_by_i, seen_by_f, seen_by_o = self.memory
        i = torch.sigmoid(i + torch.tanh(seen_by_i(c)))
        f = torch.sigmoid(f + torch.tanh(seen_by_f(c)))
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o + torch.tanh(seen_by_o(c))) * torch.tanh(c)
        return h, (h, c)
