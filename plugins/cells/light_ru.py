import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("light_ru")
class LightRU(PointwiseCell):
    """The light recurrent unit: the candidate sees the input alone, one gate mixes it in.

        f   = sigmoid(W x_t + R h_{t-1} + b)     n = tanh(W x_t + b)
        h_t = (1 - f) * h_{t-1} + f * n

    Source: Ye et al. 2024, "Light recurrent unit: towards an interpretable recurrent neural network
        for modeling long-range dependency", doi:10.3390/electronics13163204.
    """

    family = "gated"
    num_gates = 2
    num_recurrent = 1

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the past and the input by f."""
        sum_f, wx_n = (wx_BGH + rh_BGH).unbind(-2)
        f = torch.sigmoid(sum_f)
        return ((1 - f) * state[0] + f * torch.tanh(wx_n),)
