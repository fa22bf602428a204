from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell, require
from rnnexp.cells.init import filled
from rnnexp.types import State


@register_cell("scrn")
class SCRN(MatrixCell):
    """A simple network beside slow context units s, whose own recurrence is fixed.

        s_t = (1 - alpha) * (W x_t + b) + alpha * s_{t-1}
        h_t = sigmoid(W x_t + R h_{t-1} + P s_t + b)
        y_t = tanh(U h_t + V s_t + b_y)          the output; s and h are the state

    There are as many context units as hidden ones. In the paper y is the model's own output, a
    softmax of U h + V s without a bias; here it is a layer of tanh, as wide as h, that the
    network's readout, or the next layer, sees.

    Args:
        alpha: share of the past in s: 1 / (1 - alpha) steps are remembered.

    Source: Mikolov, Joulin, Chopra, Mathieu, Ranzato 2014, "Learning longer memory in recurrent
        neural networks", arXiv:1412.7753.
    """

    family = "timescale"
    gradient_of = "state"
    num_gates = 2
    num_states = 2
    num_recurrent = 4

    def __init__(self, input_size: int, *, alpha: float = 0.95, **options: Any) -> None:
        super().__init__(input_size, **options)
        require(0 <= alpha < 1, "alpha", "at least 0 and below 1", alpha)
        self.alpha = alpha
        self.bias_y = filled(self.hidden_size, 0.0)

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance the slow units, the fast ones by them, and show both."""
        s, h = state
        wx_s, wx_h = self.project_input(x_BI).unbind(-2)
        s = (1 - self.alpha) * wx_s + self.alpha * s
        h = torch.sigmoid(wx_h + self.recur(0, h) + self.recur(1, s))
        y = torch.tanh(self.recur(2, h) + self.recur(3, s) + self.bias_y)
        return y, (s, h)
