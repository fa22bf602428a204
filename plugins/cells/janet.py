from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import fill_keeping_
from rnnexp.types import State


@register_cell("janet")
class JANET(PointwiseCell):
    """Just another network: an LSTM of which the forget gate alone is left.

        s   = W x_t + R h_{t-1} + b       n = tanh(W x_t + R h_{t-1} + b)
        h_t = sigmoid(s) * h_{t-1} + (1 - sigmoid(s - beta)) * n

    Args:
        beta: by how much more is written than is forgotten.
        forget_bias: initial bias of s; above 0 the cell remembers at first.
        chrono: T_max, the longest lag that is expected, in steps, at least 2: instead, the bias is
            drawn as log U(1, T_max - 1). null for none.

    Source: van der Westhuizen & Lasenby 2018, "The unreasonable effectiveness of the forget gate",
        arXiv:1804.04849.
    """

    family = "lstm"
    num_gates = 2

    def __init__(
        self,
        input_size: int,
        *,
        beta: float = 1.0,
        forget_bias: float = 1.0,
        chrono: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        self.beta = beta
        fill_keeping_(self.gate_bias(0), forget_bias, chrono)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Keep the past through one gate, write by the same."""
        s, n = (wx_BGH + rh_BGH).unbind(-2)
        written = (1 - torch.sigmoid(s - self.beta)) * torch.tanh(n)
        return (torch.sigmoid(s) * state[0] + written,)
