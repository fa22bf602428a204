from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.cells.init import gates_of, input_weight


@register_cell("t_gru")
class TGRU(LinearCell):
    """The strongly typed GRU: its gates see the last two inputs instead of the past.

        z   = V x_{t-1} + W x_t + b
        f   = sigmoid(V x_{t-1} + W x_t + b)     o = tanh(V x_{t-1} + W x_t + b)
        h_t = f * h_{t-1} + z * o

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
        """Keep f, and add z * o."""
        z, f, o = gates_of(seen_BI, self.weight_ih, self.bias_ih, 3).unbind(-2)
        return torch.sigmoid(f), z * torch.tanh(o)
