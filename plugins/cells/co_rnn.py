from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, register_cell, require
from rnnexp.types import State


@register_cell("co_rnn")
class CoRNN(MatrixCell):
    """Coupled oscillators, damped and driven by the input; h is where they are, z how fast.

        z_t = z_{t-1} + dt * (tanh(W x_t + R h_{t-1} + R' z_{t-1} + b)
                              - gamma * h_{t-1} - epsilon * z_{t-1})
        h_t = h_{t-1} + dt * z_t

    Args:
        dt: length of a step.
        gamma: stiffness: the square of the frequency.
        epsilon: damping.

    Source: Rusch & Mishra 2021, "Coupled oscillatory recurrent neural network (coRNN)",
        arXiv:2010.00951.
    """

    family = "timescale"
    num_gates = 1
    num_states = 2
    num_recurrent = 2

    def __init__(
        self,
        input_size: int,
        *,
        dt: float = 0.5,
        gamma: float = 1.0,
        epsilon: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        require(dt > 0, "dt", "above 0", dt)
        self.dt = dt
        self.gamma = gamma
        self.epsilon = epsilon

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Change the velocity by the forces, then the place by the velocity."""
        h, z = state
        driven = self.project_input(x_BI).squeeze(-2) + self.recur(0, h) + self.recur(1, z)
        z = z + self.dt * (torch.tanh(driven) - self.gamma * h - self.epsilon * z)
        h = h + self.dt * z
        return h, (h, z)
