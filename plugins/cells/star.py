import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("star")
class STAR(PointwiseCell):
    """A unit made to be stacked: its gradient neither grows nor fades from layer to layer.

        k   = sigmoid(W x_t + R h_{t-1} + b)     n = tanh(W x_t + b)
        h_t = tanh((1 - k) * h_{t-1} + k * n)

    Source: Turkoglu, D'Aronco, Wegner, Schindler 2021, "Gating revisited: deep multi-layer RNNs
        that can be trained", arXiv:1911.11033.
    """

    family = "gated"
    num_gates = 2
    num_recurrent = 1

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the past and the input by k, then squash."""
        sum_k, wx_n = (wx_BGH + rh_BGH).unbind(-2)
        k = torch.sigmoid(sum_k)
        return (torch.tanh((1 - k) * state[0] + k * torch.tanh(wx_n)),)
