from typing import Any

import torch
from torch import Tensor, nn

from rnnexp.cells import MatrixCell, register_cell
from rnnexp.cells.init import filled
from rnnexp.types import State


@register_cell("sgu")
class SGU(MatrixCell):
    """The simple gated unit: the input gates the past by multiplication, and one gate mixes.

        g   = tanh(R ((W x_t + b) * h_{t-1}) + b_g)
        z   = hard_sigmoid(W x_t + R h_{t-1} + b)
        h_t = (1 - z) * h_{t-1} + z * softplus(g * h_{t-1})

    hard_sigmoid(v) = clip(v / 6 + 1/2, 0, 1), as in torch.

    Source: Gao & Glowacka 2016, "Deep gate recurrent neural network", arXiv:1604.02910.
    """

    family = "gated"
    num_gates = 2

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.bias_g = filled(self.hidden_size, 0.0)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Gate the past by the input, then mix it in by z."""
        (h,) = state
        wx_g, wx_z = self.project_input(x_BI).unbind(-2)
        g = torch.tanh(self.recur(0, wx_g * h) + self.bias_g)
        z = nn.functional.hardsigmoid(wx_z + self.recur(1, h))
        h = (1 - z) * h + z * nn.functional.softplus(g * h)
        return h, (h,)
