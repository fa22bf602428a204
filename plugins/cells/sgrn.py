import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("sgrn")
class SGRN(PointwiseCell):
    """The simple gated network: one product with the input serves the gate and the content.

        f   = sigmoid(W x_t + b + R h_{t-1} + b_r)
        h_t = tanh((1 - f) * (W x_t + b) + f * h_{t-1})

    Source: Zu & Wei 2020, "A simple gated recurrent network for detection of power quality
        disturbances", doi:10.1049/gtd2.12056.
    """

    family = "gated"
    num_gates = 1
    recurrent_bias = True

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix input and past by f, then squash."""
        wx_BH = wx_BGH.squeeze(-2)
        f = torch.sigmoid(wx_BH + rh_BGH.squeeze(-2))
        return (torch.tanh((1 - f) * wx_BH + f * state[0]),)
