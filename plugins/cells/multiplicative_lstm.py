from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.types import State


@register_cell("multiplicative_lstm")
class MultiplicativeLSTM(MatrixCell):
    """An LSTM whose recurrent matrix depends on the input, through a state m between.

        m       = (W x_t + b) * (R h_{t-1})
        i, f, o = sigmoid(W x_t + R m + b)     g = tanh(W x_t + R m + b)
        c_t     = f * c_{t-1} + i * g
        h_t     = o * tanh(c_t)

    Not the mLSTM of xLSTM, whose memory is a matrix.

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.

    Source: Krause, Murray, Renals, Lu 2017, "Multiplicative LSTM for sequence modelling",
        arXiv:1609.07959.
    """

    family = "lstm"
    num_gates = 5
    num_states = 2

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(2).fill_(forget_bias)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Make m of input and past, then advance as an LSTM whose past is m."""
        h, c = state
        wx_m, *wx = self.project_input(x_BI).unbind(-2)
        m = wx_m * self.recur(0, h)
        i, f, g, o = (wx[k] + self.recur(k + 1, m) for k in range(4))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)
