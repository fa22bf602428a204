from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.cells.init import gates_of, input_weight


@register_cell("t_rnn")
class TRNN(LinearCell):
    """The strongly typed simple network: no matrix acts on the past, which is averaged only.

        n   = W x_t + b     f = sigmoid(W x_t + b)
        h_t = f * h_{t-1} + (1 - f) * n

    Args:
        forget_bias: initial bias of f; above 0 the cell remembers at first.

    Source: Balduzzi & Ghifary 2016, "Strongly-typed recurrent neural networks", arXiv:1602.02218.
    """

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.weight_ih = input_weight(2, self.hidden_size, input_size)
        self.bias_ih = nn.Parameter(torch.zeros(2 * self.hidden_size))
        self.bias_ih.detach()[self.hidden_size : 2 * self.hidden_size].fill_(forget_bias)

    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Keep f, and add (1 - f) * n."""
        n, f = gates_of(seen_BI, self.weight_ih, self.bias_ih, 2).unbind(-2)
        return torch.sigmoid(f), torch.sigmoid(-f) * n
