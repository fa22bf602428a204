from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.cells.init import gates_of, input_weight


@register_cell("t_lstm")
class TLSTM(LinearCell):
    """The strongly typed LSTM: its gates see the last two inputs instead of the past.

        z   = V x_{t-1} + W x_t + b
        f   = sigmoid(V x_{t-1} + W x_t + b)     o = tanh(V x_{t-1} + W x_t + b)
        c_t = f * c_{t-1} + (1 - f) * z
        h_t = c_t * o

    Args:
        forget_bias: initial bias of f; above 0 the cell remembers at first.

    Source: Balduzzi & Ghifary 2016, "Strongly-typed recurrent neural networks", arXiv:1602.02218.
    """

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.reach = 2
        self.weight_ih = input_weight(3, self.hidden_size, 2 * input_size)
        self.bias_ih = nn.Parameter(torch.zeros(3 * self.hidden_size))
        self.bias_ih.detach()[self.hidden_size : 2 * self.hidden_size].fill_(forget_bias)

    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Keep f, and add (1 - f) * z."""
        rows = 2 * self.hidden_size
        z, f = gates_of(seen_BI, self.weight_ih[:rows], self.bias_ih[:rows], 2).unbind(-2)
        f = torch.sigmoid(f)
        return f, (1 - f) * z

    def readout(self, s_BN: Tensor, seen_BI: Tensor) -> Tensor:
        """Show c through o."""
        rows = 2 * self.hidden_size
        o_BH = nn.functional.linear(seen_BI, self.weight_ih[rows:], self.bias_ih[rows:])
        return s_BN * torch.tanh(o_BH)
