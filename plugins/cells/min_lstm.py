from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.cells.init import gates_of, input_weight


@register_cell("min_lstm")
class MinLSTM(LinearCell):
    """An LSTM whose gates see the input only and share one unit of weight between them.

        f, i = sigmoid(W x_t + b)     g = W x_t + b
        h_t  = f / (f + i) * h_{t-1} + i / (f + i) * g

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.

    Source: Feng et al. 2024, "Were RNNs all we needed?" (arXiv 2410.01201).
    """

    operators_are_gates = False  # its sigmoids are the shares, f / (f + i) and the rest

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.weight_ih = input_weight(3, self.hidden_size, input_size)
        self.bias_ih = nn.Parameter(torch.zeros(3 * self.hidden_size))
        self.bias_ih.detach()[: self.hidden_size].fill_(forget_bias)

    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Share the weight of 1 between past and candidate, by the logarithm of f / i."""
        f, i, g = gates_of(seen_BI, self.weight_ih, self.bias_ih, 3).unbind(-2)
        # The quotients themselves are 0 / 0 where both gates are shut.
        odds = nn.functional.logsigmoid(f) - nn.functional.logsigmoid(i)
        return torch.sigmoid(odds), torch.sigmoid(-odds) * g
