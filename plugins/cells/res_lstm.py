from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.cells.init import square, uniform
from rnnexp.types import State


@register_cell("res_lstm")
class ResLSTM(MatrixCell):
    """A peephole LSTM with a projection, and a shortcut of the input past its memory.

        i, f = sigmoid(W x_t + R h_{t-1} + p * c_{t-1} + b)
        g    = tanh(W x_t + R h_{t-1} + b)
        c_t  = f * c_{t-1} + i * g
        o    = sigmoid(W x_t + R h_{t-1} + p * c_t + b)
        h_t  = o * (P tanh(c_t) + S x_t)

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.

    Source: Kim, El-Khamy, Lee 2017, "Residual LSTM: design of a deep recurrent architecture for
        distant speech recognition", arXiv:1701.03360.
    """

    family = "lstm"
    num_gates = 4
    num_states = 2

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(1).fill_(forget_bias)
        self.peephole = uniform(3, self.hidden_size, low=-0.1, high=0.1)
        self.weight_projection = square(self.hidden_size)
        self.shortcut = nn.Linear(input_size, self.hidden_size, bias=False)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance the memory, then show it beside the input."""
        h, c = state
        i, f, g, o = (self.project_input(x_BI) + self.project_recurrent(h)).unbind(-2)
        p_i, p_f, p_o = self.peephole.unbind(0)
        i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
        c = f * c + i * torch.tanh(g)
        projected = nn.functional.linear(torch.tanh(c), self.weight_projection)
        h = torch.sigmoid(o + p_o * c) * (projected + self.shortcut(x_BI))
        return h, (h, c)
