from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.cells.init import filled
from rnnexp.types import State


@register_cell("mut1")
class MUT1(MatrixCell):
    """The first of three cells that a search by mutation found: z sees the input alone.

        z   = sigmoid(W x_t + b)
        r   = sigmoid(W x_t + R h_{t-1} + b)
        n   = tanh(R (r * h_{t-1}) + tanh(W x_t + b) + b_n)
        h_t = z * n + (1 - z) * h_{t-1}

    The paper has tanh(x_t) in n; here W brings x to the width of h.

    Source: Jozefowicz, Zaremba, Sutskever 2015, "An empirical exploration of recurrent network
        architectures", ICML, PMLR 37.
    """

    family = "gated"
    num_gates = 3
    num_recurrent = 2

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.bias_n = filled(self.hidden_size, 0.0)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Reset the past before its product, then mix by z."""
        (h,) = state
        wx_r, wx_n, wx_z = self.project_input(x_BI).unbind(-2)
        r, z = torch.sigmoid(wx_r + self.recur(0, h)), torch.sigmoid(wx_z)
        n = torch.tanh(self.recur(1, r * h) + torch.tanh(wx_n) + self.bias_n)
        h = z * n + (1 - z) * h
        return h, (h,)
