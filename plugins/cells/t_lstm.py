from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("t_lstm")
class TLSTM(PointwiseCell):
    """The strongly typed LSTM: its gates see the last two inputs instead of the past.

        z   = W x_t + V x_{t-1} + b
        f   = sigmoid(W x_t + V x_{t-1} + b)     o = tanh(W x_t + V x_{t-1} + b)
        c_t = f * c_{t-1} + (1 - f) * z
        h_t = c_t * o

    Before the first input there was zero. Not x_{t-1} is carried but its three products with V,
    which have the width of h.

    Args:
        forget_bias: initial bias of f; above 0 the cell remembers at first.

    Source: Balduzzi & Ghifary 2016, "Strongly-typed recurrent neural networks", arXiv:1602.02218.
    """

    family = "linear"
    num_gates = 6
    num_recurrent = 0
    num_states = 5

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        # The last three blocks of the input weights are V, which needs no bias beside that of W.
        self.bias_ih = nn.Parameter(torch.zeros(3 * self.hidden_size))
        self.bias_ih.detach()[self.hidden_size : 2 * self.hidden_size].fill_(forget_bias)

    def project_input(self, x_BI: Tensor) -> Tensor:
        """Compute ``W x + b`` and ``V x``."""
        bias = nn.functional.pad(self.bias_ih, (0, 3 * self.hidden_size))
        return self._gates(nn.functional.linear(x_BI, self.weight_ih, bias))

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Average what the inputs bring, and show it through o."""
        del rh_BGH
        wx_z, wx_f, wx_o, *products = wx_BGH.unbind(-2)
        z, f, o = wx_z + state[-3], wx_f + state[-2], wx_o + state[-1]
        f = torch.sigmoid(f)
        c = f * state[1] + (1 - f) * z
        return (c * torch.tanh(o), c, *products)
