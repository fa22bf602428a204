from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("t_rnn")
class TRNN(PointwiseCell):
    """The strongly typed simple network: no matrix acts on the past, which is averaged only.

        n   = W x_t + b     f = sigmoid(W x_t + b)
        h_t = f * h_{t-1} + (1 - f) * n

    Args:
        forget_bias: initial bias of f; above 0 the cell remembers at first.

    Source: Balduzzi & Ghifary 2016, "Strongly-typed recurrent neural networks", arXiv:1602.02218.
    """

    family = "linear"
    num_gates = 2
    num_recurrent = 0

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(1).fill_(forget_bias)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Average the inputs with weights that each input chooses."""
        del rh_BGH
        n, f = wx_BGH.unbind(-2)
        f = torch.sigmoid(f)
        return (f * state[0] + (1 - f) * n,)
