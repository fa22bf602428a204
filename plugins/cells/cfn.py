from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("cfn")
class CFN(PointwiseCell):
    """The chaos-free network: without i * tanh(n), every unit goes to zero at a rate of its own.

        f, i = sigmoid(W x_t + R h_{t-1} + b)     n = W x_t + b
        h_t  = f * tanh(h_{t-1}) + i * tanh(n)

    The paper's n has no bias, so that at x = 0 nothing is added and h goes to 0. Here it has one: 0
    at first, and once it is learned, i * tanh(b) holds h elsewhere.

    Args:
        forget_bias: initial bias of f; above 0 the cell remembers at first.

    Source: Laurent & von Brecht 2017, "A recurrent neural network without chaos",
        arXiv:1612.06212.
    """

    family = "gated"
    num_gates = 3
    num_recurrent = 2

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(0).fill_(forget_bias)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Keep the squashed past through f, add the squashed input through i."""
        f, i, n = (wx_BGH + rh_BGH).unbind(-2)
        past = torch.sigmoid(f) * torch.tanh(state[0])
        return (past + torch.sigmoid(i) * torch.tanh(n),)
