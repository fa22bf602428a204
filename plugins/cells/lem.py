from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell, require
from rnnexp.types import State


@register_cell("lem")
class LEM(MatrixCell):
    """Long expressive memory: two states, each with time scales that are learned and vary.

        d, e = dt * sigmoid(W x_t + R h_{t-1} + b)
        z_t  = (1 - e) * z_{t-1} + e * tanh(W x_t + R h_{t-1} + b)
        h_t  = (1 - d) * h_{t-1} + d * tanh(W x_t + R z_t + b)

    Args:
        dt: longest step.

    Source: Rusch, Mishra, Erichson, Mahoney 2022, "Long expressive memory for sequence modeling",
        arXiv:2110.04744.
    """

    family = "timescale"
    num_gates = 4
    num_states = 2

    def __init__(self, input_size: int, *, dt: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        require(0 < dt <= 1, "dt", "above 0 and at most 1", dt)
        self.dt = dt

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance z by h, then h by the new z."""
        h, z = state
        wx_d, wx_e, wx_z, wx_h = self.project_input(x_BI).unbind(-2)
        d = self.dt * torch.sigmoid(wx_d + self.recur(0, h))
        e = self.dt * torch.sigmoid(wx_e + self.recur(1, h))
        z = (1 - e) * z + e * torch.tanh(wx_z + self.recur(2, h))
        h = (1 - d) * h + d * torch.tanh(wx_h + self.recur(3, z))
        return h, (h, z)
