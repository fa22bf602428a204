import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell, require
from rnnexp.cells.init import uniform
from rnnexp.types import State


@register_cell("uni_cornn")
class UnICORNN(PointwiseCell):
    """Independent undamped oscillators, each with a time scale of its own; energy is kept.

        d   = dt * sigmoid(c)                                      one per unit
        z_t = z_{t-1} - d * (tanh(W x_t + w * h_{t-1} + b) + alpha * h_{t-1})
        h_t = h_{t-1} + d * z_t

    Args:
        dt: longest step.
        alpha: stiffness beside that of the nonlinearity.

    Source: Rusch & Mishra 2021, "UnICORNN: a recurrent model for learning very long time
        dependencies", arXiv:2103.05487.
    """

    family = "timescale"
    num_gates = 1
    num_recurrent = 0
    num_states = 2

    def __init__(
        self, input_size: int, *, hidden_size: int = 64, dt: float = 1.0, alpha: float = 0.0
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        require(dt > 0, "dt", "above 0", dt)
        self.dt = dt
        self.alpha = alpha
        self.weight_hh_diagonal = uniform(hidden_size, low=0.0, high=1.0)
        self.step_logit = uniform(hidden_size, low=-0.1, high=0.1)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Change the velocity by the forces, then the place by the velocity."""
        del rh_BGH
        h, z = state
        step_H = self.dt * torch.sigmoid(self.step_logit)
        force = torch.tanh(wx_BGH.squeeze(-2) + self.weight_hh_diagonal * h)
        z = z - step_H * (force + self.alpha * h)
        return h + step_H * z, z
