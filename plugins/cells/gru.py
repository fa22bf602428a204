from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, Twin, register_cell
from rnnexp.cells.init import chrono_bias
from rnnexp.types import State


@register_cell("gru")
class GRU(PointwiseCell):
    """Gated recurrent unit, with the reset gate after the recurrent product.

        r, z = sigmoid(W x_t + R h_{t-1} + b)
        n    = tanh(W x_t + b + r * (R h_{t-1} + b_r))
        h_t  = (1 - z) * n + z * h_{t-1}

    Args:
        chrono: T_max, the longest lag that is expected, in steps, at least 2: the initial bias of z
            is drawn as log U(1, T_max - 1). null for 0.

    Source: Cho et al. 2014; this variant as in cuDNN and torch.nn.GRU, gate order r, z, n; chrono:
        Tallec & Ollivier 2018, arXiv:1804.11188.
    """

    family = "gated"
    num_gates = 3
    recurrent_bias = True

    def __init__(self, input_size: int, *, chrono: float | None = None, **options: Any) -> None:
        super().__init__(input_size, **options)
        if chrono is not None:
            self.gate_bias(1).copy_(chrono_bias(self.hidden_size, chrono))

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Reset the past in the candidate, then mix candidate and past by z."""
        wx_r, wx_z, wx_n = wx_BGH.unbind(-2)
        rh_r, rh_z, rh_n = rh_BGH.unbind(-2)
        z = torch.sigmoid(wx_z + rh_z)
        n = torch.tanh(wx_n + torch.sigmoid(wx_r + rh_r) * rh_n)
        return ((1 - z) * n + z * state[0],)

    def twin(self) -> Twin:
        """torch.nn.GRU with the same two biases."""
        assert self.bias_hh is not None
        return Twin("GRU", self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
