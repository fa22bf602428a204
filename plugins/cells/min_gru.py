from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import LinearCell, register_cell
from rnnexp.cells.init import gates_of, input_weight


@register_cell("min_gru")
class MinGRU(LinearCell):
    """A GRU whose gate and candidate see the input only, so that all steps run at once.

        z   = sigmoid(W_z x_t + b_z)
        n   = W_n x_t + b_n
        h_t = (1 - z) * h_{t-1} + z * n

    Source: Feng et al. 2024, "Were RNNs all we needed?" (arXiv 2410.01201), section 3.1.
    """

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.weight_ih = input_weight(2, self.hidden_size, input_size)
        self.bias_ih = nn.Parameter(torch.zeros(2 * self.hidden_size))

    def coefficients(self, seen_BI: Tensor) -> tuple[Tensor, Tensor]:
        """Keep 1 - z, and add z * n."""
        z, n = gates_of(seen_BI, self.weight_ih, self.bias_ih, 2).unbind(-2)
        return torch.sigmoid(-z), torch.sigmoid(z) * n
