from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.errors import ConfigError
from rnnexp.types import State


@register_cell("ctrnn")
class CTRNN(PointwiseCell):
    """A network in continuous time, integrated by Euler steps: its units leak before they fire.

        tau dv/dt = -v + W x + R tanh(v) + b
        v_t = v_{t-1} + dt / tau * (-v_{t-1} + W x_t + R h_{t-1} + b)
        h_t = tanh(v_t)

    `leaky` mixes after the nonlinearity, this one before it.

    Args:
        tau: time constant, in units of time, at least dt.
        dt: length of a step, in the same units.

    Source: Funahashi & Nakamura 1993, "Approximation of dynamical systems by continuous time
        recurrent neural networks".
    """

    family = "timescale"
    num_gates = 1
    num_states = 2

    def __init__(
        self, input_size: int, *, tau: float = 5.0, dt: float = 1.0, **options: Any
    ) -> None:
        super().__init__(input_size, **options)
        if not 0 < dt <= tau:
            raise ConfigError(
                f"cell.dt, cell.tau: must satisfy 0 < dt <= tau, got dt={dt}, tau={tau}."
            )
        self.rate = dt / tau

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Let v leak towards its input, and fire."""
        v = state[1] + self.rate * ((wx_BGH + rh_BGH).squeeze(-2) - state[1])
        return torch.tanh(v), v
