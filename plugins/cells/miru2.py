from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell, require
from rnnexp.types import State


@register_cell("miru2")
class MiRU2(PointwiseCell):
    """The smaller minion gated unit: both gates of the GRU are numbers, not learned.

        n   = tanh(W x_t + reset * R h_{t-1} + b)
        h_t = keep * h_{t-1} + (1 - keep) * n

    Args:
        keep: share of the past in the new state, lambda in the paper.
        reset: by which the past is multiplied in the candidate, theta in the paper.

    Source: Zyarah & Kudithipudi 2026, "Minion gated recurrent unit for continual learning",
        doi:10.1016/j.neucom.2026.132847.
    """

    family = "timescale"
    num_gates = 1

    def __init__(
        self, input_size: int, *, keep: float = 0.5, reset: float = 0.9, **options: Any
    ) -> None:
        super().__init__(input_size, **options)
        require(0 <= keep <= 1, "keep", "between 0 and 1", keep)
        self.keep = keep
        self.reset = reset

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix at a fixed rate."""
        new_BH = torch.tanh((wx_BGH + self.reset * rh_BGH).squeeze(-2))
        return (self.keep * state[0] + (1 - self.keep) * new_BH,)
