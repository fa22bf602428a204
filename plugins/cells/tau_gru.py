from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell, require
from rnnexp.types import State


@register_cell("tau_gru")
class TauGRU(PointwiseCell):
    """A gated unit that sees its state of some steps ago, weighted by a second gate.

        u   = tanh(W x_t + R h_{t-1} + b)        z = tanh(W x_t + R h_{t-1-delay} + b)
        g, a = sigmoid(W x_t + R h_{t-1} + b)
        h_t = (1 - g) * h_{t-1} + g * (u + a * z)

    Before the sequence the state was zero. Not the old states are carried but their products with
    R, so that no other product is needed inside the loop.

    Args:
        delay: steps back from h_{t-1}.

    Source: Erichson, Lim, Mahoney 2022, "Gated recurrent neural networks with weighted time-delay
        feedback", arXiv:2212.00228.
    """

    family = "gated"
    num_gates = 4

    def __init__(self, input_size: int, *, delay: int = 5, **options: Any) -> None:
        super().__init__(input_size, **options)
        require(delay >= 1, "delay", "at least 1", delay)
        self.num_states = 1 + delay

    @property
    def skips(self) -> tuple[int, ...]:
        """The delayed state."""
        return (self.num_states,)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Use the oldest product with R, and queue the newest."""
        h, *products = state
        wx_u, wx_z, wx_g, wx_a = wx_BGH.unbind(-2)
        rh_u, rh_z, rh_g, rh_a = rh_BGH.unbind(-2)
        u, z = torch.tanh(wx_u + rh_u), torch.tanh(wx_z + products[-1])
        g, a = torch.sigmoid(wx_g + rh_g), torch.sigmoid(wx_a + rh_a)
        return ((1 - g) * h + g * (u + a * z), rh_z, *products[:-1])
