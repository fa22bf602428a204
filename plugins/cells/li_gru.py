import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("li_gru")
class LiGRU(PointwiseCell):
    """The light GRU for speech: no reset gate, and a rectified candidate.

        z   = sigmoid(W x_t + R h_{t-1} + b)     n = relu(W x_t + R h_{t-1} + b)
        h_t = z * h_{t-1} + (1 - z) * n

    The paper normalises W x over the batch; here rows do not see each other.

    Source: Ravanelli, Brakel, Omologo, Bengio 2018, "Light gated recurrent units for speech
        recognition", arXiv:1803.10225.
    """

    family = "gated"
    num_gates = 2

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the past and the rectified candidate by z."""
        z, n = (wx_BGH + rh_BGH).unbind(-2)
        z = torch.sigmoid(z)
        return (z * state[0] + (1 - z) * torch.relu(n),)
