from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell, require
from rnnexp.types import State


@register_cell("miru1")
class MiRU1(MatrixCell):
    """The minion gated unit: a GRU whose update gate is one number, not learned.

        r   = sigmoid(W x_t + R h_{t-1} + b)
        n   = tanh(W x_t + R (r * h_{t-1}) + b)
        h_t = keep * h_{t-1} + (1 - keep) * n

    Args:
        keep: share of the past in the new state, lambda in the paper.

    Source: Zyarah & Kudithipudi 2026, "Minion gated recurrent unit for continual learning",
        doi:10.1016/j.neucom.2026.132847.
    """

    family = "gated"
    num_gates = 2

    def __init__(self, input_size: int, *, keep: float = 0.5, **options: Any) -> None:
        super().__init__(input_size, **options)
        require(0 <= keep <= 1, "keep", "between 0 and 1", keep)
        self.keep = keep

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Reset the past before its product, then mix at a fixed rate."""
        (h,) = state
        wx_r, wx_n = self.project_input(x_BI).unbind(-2)
        r = torch.sigmoid(wx_r + self.recur(0, h))
        h = self.keep * h + (1 - self.keep) * torch.tanh(wx_n + self.recur(1, r * h))
        return h, (h,)
