from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import square
from rnnexp.types import State


@register_cell("minimal_rnn")
class MinimalRNN(PointwiseCell):
    """The input is brought to the space of h first; then one gate does all there is to do.

        n   = tanh(W x_t + b)
        u   = sigmoid(M n + R h_{t-1} + b)
        h_t = u * h_{t-1} + (1 - u) * n

    Args:
        update_bias: initial bias of u; above 0 the cell remembers at first.

    Source: Chen 2017, "MinimalRNN: toward more interpretable and trainable recurrent neural
        networks", arXiv:1711.06788.
    """

    family = "gated"
    num_gates = 2
    num_recurrent = 1

    def __init__(self, input_size: int, *, update_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        # u sees x through n alone: W has one block, M stands for the other.
        self.weight_ih = nn.Parameter(self.weight_ih.detach()[: self.hidden_size].clone())
        self.weight_nu = square(self.hidden_size)
        self.gate_bias(0).fill_(update_bias)

    def project_input(self, x_BI: Tensor) -> Tensor:
        """Compute ``M n + b`` and n, which no past enters."""
        bias_u, bias_n = self.bias_ih.chunk(2)
        n = torch.tanh(nn.functional.linear(x_BI, self.weight_ih, bias_n))
        return torch.stack([nn.functional.linear(n, self.weight_nu, bias_u), n], -2)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the past and the input by u."""
        sum_u, n = (wx_BGH + rh_BGH).unbind(-2)
        u = torch.sigmoid(sum_u)
        return (u * state[0] + (1 - u) * n,)
