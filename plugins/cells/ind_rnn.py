from typing import Literal

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell, require
from rnnexp.cells.init import uniform
from rnnexp.types import State


@register_cell("ind_rnn")
class IndRNN(PointwiseCell):
    """Independent units: each sees its own past alone, so one number bounds its gradient.

        h_t = phi(W x_t + u * h_{t-1} + b)

    Args:
        nonlinearity: phi, relu or tanh.
        slowest: lower bound of the initial u, whose upper bound is 1.

    Source: Li, Li, Cook, Zhu, Gao 2018, "Independently recurrent neural network (IndRNN): building
        a longer and deeper RNN", arXiv:1803.04831.
    """

    family = "simple"
    num_gates = 1
    num_recurrent = 0

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        nonlinearity: Literal["relu", "tanh"] = "relu",
        slowest: float = 0.0,
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        require(slowest <= 1, "slowest", "at most 1", slowest)
        self.nonlinearity = nonlinearity
        self.weight_hh_diagonal = uniform(hidden_size, low=slowest, high=1.0)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Apply phi to the input and the unit's own past."""
        del rh_BGH
        sum_BH = wx_BGH.squeeze(-2) + self.weight_hh_diagonal * state[0]
        return (torch.relu(sum_BH) if self.nonlinearity == "relu" else torch.tanh(sum_BH),)
