from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("ug_rnn")
class UGRNN(PointwiseCell):
    """The update-gate network: one gate between the past and a simple network.

        n   = tanh(W x_t + R h_{t-1} + b)     g = sigmoid(W x_t + R h_{t-1} + b)
        h_t = g * h_{t-1} + (1 - g) * n

    Args:
        update_bias: initial bias of g; above 0 the cell remembers at first.

    Source: Collins, Sohl-Dickstein, Sussillo 2017, "Capacity and trainability in recurrent neural
        networks", arXiv:1611.09913.
    """

    family = "gated"
    num_gates = 2

    def __init__(self, input_size: int, *, update_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(1).fill_(update_bias)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the past and the new by g."""
        n, g = (wx_BGH + rh_BGH).unbind(-2)
        g = torch.sigmoid(g)
        return (g * state[0] + (1 - g) * torch.tanh(n),)
