import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("nas")
class NAS(PointwiseCell):
    """The cell that a network trained by reinforcement learning designed.

        a_k = W x_t + b        d_k = R h_{t-1} + b_r        k = 0..7
        p   = tanh(sigmoid(a_0 + d_0) * relu(a_1 + d_1))
        q   = tanh(sigmoid(a_2 + d_2) + relu(a_3 * d_3))
        u   = tanh(tanh(a_4 + d_4) * sigmoid(a_5 + d_5))
        v   = sigmoid(tanh(a_6 + d_6) + sigmoid(a_7 + d_7))
        c_t = tanh(p + c_{t-1}) * q
        h_t = tanh(c_t * tanh(u + v))

    Source: Zoph & Le 2017, "Neural architecture search with reinforcement learning",
        arXiv:1611.01578; as NASCell of TensorFlow Addons, where a_3 and d_3 are multiplied.
    """

    family = "lstm"
    num_gates = 8
    num_states = 2
    recurrent_bias = True

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Combine the eight products in pairs, and these in pairs."""
        s_0, s_1, s_2, _, s_4, s_5, s_6, s_7 = (wx_BGH + rh_BGH).unbind(-2)
        product = torch.relu(wx_BGH.select(-2, 3) * rh_BGH.select(-2, 3))
        p = torch.tanh(torch.sigmoid(s_0) * torch.relu(s_1))
        q = torch.tanh(torch.sigmoid(s_2) + product)
        u = torch.tanh(torch.tanh(s_4) * torch.sigmoid(s_5))
        v = torch.sigmoid(torch.tanh(s_6) + torch.sigmoid(s_7))
        c = torch.tanh(p + state[1]) * q
        return torch.tanh(c * torch.tanh(u + v)), c
