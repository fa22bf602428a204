from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("ran")
class RAN(PointwiseCell):
    """The recurrent additive network: c is a weighted sum of all inputs so far, and no more.

        i, f = sigmoid(W x_t + R h_{t-1} + b)     n = W x_t + b
        c_t  = i * n + f * c_{t-1}
        h_t  = tanh(c_t)

    The paper's n has no bias; the one here is 0 at first.

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.

    Source: Lee, Levy, Zettlemoyer 2017, "Recurrent additive networks", arXiv:1705.07393.
    """

    family = "gated"
    num_gates = 3
    num_recurrent = 2
    num_states = 2

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(1).fill_(forget_bias)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Add the input through i to the memory through f."""
        i, f, n = (wx_BGH + rh_BGH).unbind(-2)
        c = torch.sigmoid(i) * n + torch.sigmoid(f) * state[1]
        return torch.tanh(c), c
